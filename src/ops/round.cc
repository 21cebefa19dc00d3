// Round (ai.onnx 11, 22): the nearest integer; halves go to the even one.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::nearbyint(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Round) = {
    .name = "Round",
    .min_version = 11,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
