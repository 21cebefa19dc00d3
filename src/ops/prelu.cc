// PRelu (ai.onnx 1, 6, 7, 9, 16): x from 0 on, slope * x below. The slope broadcasts to x; before version 7 it is one number
// or one a channel (axis 1).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

// The slope, its extents made such that NumPy's broadcasting does what the version asks.
Tensor slope(const KernelContext& c) {
  const Tensor& slope = c.input(1);
  if (c.version() >= 7 || slope.num_elements() == 1 || slope.rank() != 1) return slope;
  Dims dims = slope.dims();
  while (dims.rank() + 1 < c.input(0).rank()) dims.push_back(1);
  return slope.reshaped(dims);
}

Status infer(InferContext& c) {
  if (c.dtype(0) != DType::kUndefined && c.dtype(1) != DType::kUndefined && c.dtype(0) != c.dtype(1))
    return error(ErrorCode::kInvalidModel, "slope is {}, but the input is {}", dtype_name(c.dtype(1)), dtype_name(c.dtype(0)));
  if (c.shape(0) && c.shape(1)) {
    const ir::Shape& x = *c.shape(0);
    ir::Shape slope = *c.shape(1);
    if (c.version() < 7 && slope.size() == 1 && !slope[0].is(1))
      while (slope.size() + 1 < x.size()) slope.push_back(1);
    CAMEO_ASSIGN(const ir::Shape both, broadcast(x, slope));
    bool fits = both.size() == x.size();
    for (size_t i = 0; fits && i < x.size(); ++i) fits = !both[i].is_const() || !x[i].is_const() || both[i] == x[i];
    if (!fits)
      return error(ErrorCode::kInvalidModel, "slope {} does not broadcast to the input {}", ir::to_string(*c.shape(1)), ir::to_string(x));
  }
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  return dispatch_numbers(c.input(0).dtype(), "PRelu", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_binary<T, T>(c.input(0), slope(c), c.output(0),
                     [](auto x, auto s) { return x < 0 ? wrapping(x, s, [](auto a, auto b) { return a * b; }) : x; });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(PRelu) = {
    .name = "PRelu",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
