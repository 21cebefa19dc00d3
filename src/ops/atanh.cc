// Atanh (ai.onnx 9, 22): the inverse hyperbolic tangent.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::atanh(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Atanh) = {
    .name = "Atanh",
    .min_version = 9,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
