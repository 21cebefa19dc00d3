// Floor (ai.onnx 1, 6, 13): the largest integer not above x.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::floor(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Floor) = {
    .name = "Floor",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
