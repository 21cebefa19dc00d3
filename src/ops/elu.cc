// Elu (ai.onnx 1, 6, 22): x from 0 on, alpha * (exp(x) - 1) below; alpha is 1 by default.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [alpha = c.attrs<AlphaAttrs>().alpha.value_or(1.f)]<class X>(X x) -> X {
    return x < 0 ? static_cast<X>(alpha) * std::expm1(x) : x;
  });
}

}  // namespace

CAMEO_DEFINE_OP(Elu) = {
    .name = "Elu",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<AlphaAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
