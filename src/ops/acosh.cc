// Acosh (ai.onnx 9, 22): the inverse hyperbolic cosine; NaN below 1.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::acosh(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Acosh) = {
    .name = "Acosh",
    .min_version = 9,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
