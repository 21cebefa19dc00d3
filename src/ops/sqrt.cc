// Sqrt (ai.onnx 1, 6, 13): the square root; NaN for negative elements.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::sqrt(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Sqrt) = {
    .name = "Sqrt",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
