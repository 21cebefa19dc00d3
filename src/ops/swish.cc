// Swish (ai.onnx 24): x / (1 + exp(-alpha * x)); alpha is 1 by default.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(
      c, [alpha = c.attrs<AlphaAttrs>().alpha.value_or(1.f)]<class X>(X x) -> X { return x / (1 + std::exp(-static_cast<X>(alpha) * x)); });
}

}  // namespace

CAMEO_DEFINE_OP(Swish) = {
    .name = "Swish",
    .min_version = 24,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AlphaAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
