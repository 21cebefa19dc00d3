// Mish (ai.onnx 18, 22): x * tanh(log(exp(x) + 1)).
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return x * std::tanh((x > 0 ? x : decltype(x){}) + std::log1p(std::exp(-std::abs(x)))); });
}

}  // namespace

CAMEO_DEFINE_OP(Mish) = {
    .name = "Mish",
    .min_version = 18,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
