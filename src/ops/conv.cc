// Conv (ai.onnx 1, 11, 22): y[n, m, o] = b[m] + sum over c, t of w[m, c, t] * x[n, c, o * stride + t * dilation - pad],
// over 1 to 6 spatial axes, with groups. Version 22 adds bfloat16. Sums of the 16-bit types are kept in float.
#include "ops/convolve.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(check_same_dtype(c, {0, 1, 2}));
  return infer_convolution(c, 0, 1, 2, c.dtype(0));
}

Status reference(KernelContext& c) {
  const Tensor &x = c.input(0), &w = c.input(1);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const ConvGeometry g, ConvGeometry::make(c.attrs<ConvAttrs>(), x.dims(), w.dims(), y.dims()));
  return dispatch_floats(x.dtype(), "Conv", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* bias = c.has_input(2) ? c.input(2).data<T>() : nullptr;
    return convolve<C>(
        c, g, x.data<T>(), w.data<T>(), y.data<T>(), [](T v) { return static_cast<C>(v); }, [](T v, int64_t) { return static_cast<C>(v); },
        [&](const C* sums, int64_t channel, int64_t n, T* to) {
          const C b = bias ? static_cast<C>(bias[channel]) : C{0};
          for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(sums[i] + b);
        });
  });
}

}  // namespace

CAMEO_DEFINE_OP(Conv) = {
    .name = "Conv",
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<ConvAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
