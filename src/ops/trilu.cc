// Trilu (ai.onnx 14): keeps the upper (or lower) triangle of the last two axes and zeroes the rest; the diagonal is moved
// up by k.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct TriluAttrs : ir::AttrsOf<TriluAttrs> {
  int64_t upper = 1;
  void visit(ir::AttrVisitor& v) override { v("upper", upper); }
};

Status infer(InferContext& c) {
  if (c.shape(0) && c.shape(0)->size() < 2)
    return error(ErrorCode::kInvalidModel, "the input must have rank 2 or more, its shape is {}", ir::to_string(*c.shape(0)));
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const int64_t rows = x.dim(x.rank() - 2), columns = x.dim(x.rank() - 1), batch = product(x.dims(), 0, x.rank() - 2);
  int64_t k = 0;
  if (c.has_input(1)) {
    CAMEO_ASSIGN(k, read_int(c.input(1), "k"));
  }
  k = std::clamp(k, -rows, columns);
  const bool upper = c.attrs<TriluAttrs>().upper != 0;
  return dispatch_storage(x.dtype(), "Trilu", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.data<T>();
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t row = 0; row < rows; ++row, from += columns, to += columns) {
        const int64_t split = std::clamp<int64_t>(upper ? row + k : row + k + 1, 0, columns);
        if (upper) {
          std::fill_n(to, split, T{});
          std::copy_n(from + split, columns - split, to + split);
        } else {
          std::copy_n(from, split, to);
          std::fill_n(to + split, columns - split, T{});
        }
      }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Trilu) = {
    .name = "Trilu",
    .min_version = 14,
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<TriluAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
