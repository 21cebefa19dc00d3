// InstanceNormalization (ai.onnx 1, 6, 22): y = scale[c] * (x - mean) / sqrt(var + epsilon) + b[c], with the moments of each
// channel of each sample. Version 22 adds bfloat16.
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/normalization.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(check_same_dtype(c, {0, 1, 2}));
  if (const auto& x = c.shape(0)) {
    if (x->size() < 2) return error(ErrorCode::kInvalidInput, "the input is {}; it must have rank 2 or more", ir::to_string(*x));
    CAMEO_TRY(check_shape(c, 1, {(*x)[1]}, "scale"));
    CAMEO_TRY(check_shape(c, 2, {(*x)[1]}, "B"));
  }
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  if (x.num_elements() == 0) return {};
  const int64_t channels = x.dim(1), rows = x.dim(0) * channels, n = x.num_elements() / rows;
  return dispatch_floats(x.dtype(), "InstanceNormalization", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const C epsilon = c.attrs<InstanceNormalizationAttrs>().epsilon;
    for (int64_t row = 0; row < rows; ++row) {
      const T* from = x.data<T>() + row * n;
      T* to = c.output(0).data<T>() + row * n;
      const auto m = moments_of<C>(from, n);
      const C factor = m.inverse_deviation(epsilon) * static_cast<C>(c.input(1).data<T>()[row % channels]);
      const C bias = static_cast<C>(c.input(2).data<T>()[row % channels]);
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>((static_cast<C>(from[i]) - m.mean) * factor + bias);
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(InstanceNormalization) = {
    .name = "InstanceNormalization",
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<InstanceNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
