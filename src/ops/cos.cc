// Cos (ai.onnx 7, 22): the cosine.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::cos(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Cos) = {
    .name = "Cos",
    .min_version = 7,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
