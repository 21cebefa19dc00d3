// Sign (ai.onnx 9, 13): -1, 0 or 1; NaN stays NaN.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_numbers(c, [](auto x) { return x > 0 ? decltype(x){1} : x < 0 ? static_cast<decltype(x)>(-1) : x; });
}

}  // namespace

CAMEO_DEFINE_OP(Sign) = {
    .name = "Sign",
    .min_version = 9,
    .input_types = {kNumericTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
