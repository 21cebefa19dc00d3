// Exp (ai.onnx 1, 6, 13): e to the power of x.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::exp(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Exp) = {
    .name = "Exp",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
