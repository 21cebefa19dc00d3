// Sinh (ai.onnx 9, 22): the hyperbolic sine.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::sinh(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Sinh) = {
    .name = "Sinh",
    .min_version = 9,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
