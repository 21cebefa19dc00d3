// LeakyRelu (ai.onnx 1, 6, 16): x from 0 on, alpha * x below; alpha is 0.01 by default.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(
      c, [alpha = c.attrs<AlphaAttrs>().alpha.value_or(0.01f)]<class X>(X x) -> X { return x < 0 ? static_cast<X>(alpha) * x : x; });
}

}  // namespace

CAMEO_DEFINE_OP(LeakyRelu) = {
    .name = "LeakyRelu",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AlphaAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
