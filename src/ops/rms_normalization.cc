// RMSNormalization (ai.onnx 23): y = x / sqrt(mean(x^2) + epsilon) * scale, with the mean over the extents from `axis` on.
// It is computed in float for the 16-bit types, whatever stash_type. y has the type of scale, to which the normalized
// value is rounded before the product, as the function that defines the operator does.
#include "ops/checks.h"
#include "ops/dispatch.h"
#include "ops/normalization.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  ir::Type y = c.input(0);
  if (y.shape) {
    CAMEO_TRY(normalize_axis(c.attrs<RmsNormalizationAttrs>().axis, y.shape->size()));
    CAMEO_TRY(check_broadcasts_to(c, 1, *y.shape, "scale"));
  }
  y.kind = ir::Type::Kind::kTensor;
  y.dtype = c.dtype(1);
  c.set_output(0, std::move(y));
  return {};
}

template <class T, class V>
void run(KernelContext& c) {
  using C = compute_t<T>;
  using D = compute_t<V>;
  const auto& attrs = c.attrs<RmsNormalizationAttrs>();
  const Tensor& x = c.input(0);
  const auto rank = static_cast<int64_t>(x.rank());
  const int64_t axis = attrs.axis < 0 ? attrs.axis + rank : attrs.axis;
  int64_t rows = 1, n = 1;
  for (int64_t a = 0; a < rank; ++a) (a < axis ? rows : n) *= x.dim(static_cast<size_t>(a));
  if (rows * n == 0) return;
  const BroadcastRows<V> scale(c, 1, x.dims(), static_cast<size_t>(axis));
  for (int64_t row = 0; row < rows; ++row) {
    const T* from = x.data<T>() + row * n;
    V* to = c.output(0).data<V>() + row * n;
    const C mean = sum_of<C>(from, n, [](C v) { return v * v; }) / static_cast<C>(n);
    const C inverse = 1 / std::sqrt(mean + static_cast<C>(attrs.epsilon));
    const V* s = scale.row(row);
    for (int64_t i = 0; i < n; ++i) {
      const V normal = static_cast<V>(static_cast<D>(static_cast<C>(from[i]) * inverse));
      to[i] = static_cast<V>(static_cast<D>(normal) * static_cast<D>(s[i]));
    }
  }
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "RMSNormalization", [&](auto x) -> Status {
    return dispatch_floats(c.input(1).dtype(), "RMSNormalization", [&](auto scale) -> Status {
      run<typename decltype(x)::type, typename decltype(scale)::type>(c);
      return {};
    });
  });
}

}  // namespace

CAMEO_DEFINE_OP(RMSNormalization) = {
    .name = "RMSNormalization",
    .min_version = 23,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<RmsNormalizationAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
