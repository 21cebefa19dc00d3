// ThresholdedRelu (ai.onnx 10, 22): x above alpha, 0 elsewhere; alpha is 1 by default.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(
      c, [alpha = c.attrs<AlphaAttrs>().alpha.value_or(1.f)]<class X>(X x) -> X { return x > static_cast<X>(alpha) ? x : X{0}; });
}

}  // namespace

CAMEO_DEFINE_OP(ThresholdedRelu) = {
    .name = "ThresholdedRelu",
    .min_version = 10,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AlphaAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
