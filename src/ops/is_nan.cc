// IsNaN (ai.onnx 9, 13, 20): whether x is NaN. Version 20 added the 8-bit floats.
#include <cmath>

#include "ops/float_predicate.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  const auto test = [](auto x) { return std::isnan(x); };
  return float_predicate(c, "IsNaN", test);
}

}  // namespace

CAMEO_DEFINE_OP(IsNaN) = {
    .name = "IsNaN",
    .min_version = 9,
    .input_types = {kFloatTypes | kFloat8Types},
    .infer = &infer_float_predicate,
    .reference = &reference,
};

}  // namespace cameo::ops
