// Ceil (ai.onnx 1, 6, 13): the least integer not below x.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::ceil(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Ceil) = {
    .name = "Ceil",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
