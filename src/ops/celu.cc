// Celu (ai.onnx 12, 28): max(0, x) + min(0, alpha * (exp(x / alpha) - 1)); alpha is 1 by default.
#include <algorithm>
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [alpha = c.attrs<AlphaAttrs>().alpha.value_or(1.f)]<class X>(X x) -> X {
    return (x > 0 ? x : X{0}) + std::min(X{0}, static_cast<X>(alpha) * std::expm1(x / static_cast<X>(alpha)));
  });
}

}  // namespace

CAMEO_DEFINE_OP(Celu) = {
    .name = "Celu",
    .min_version = 12,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AlphaAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
