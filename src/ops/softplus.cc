// Softplus (ai.onnx 1, 22): log(exp(x) + 1), computed without overflow.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return (x > 0 ? x : decltype(x){}) + std::log1p(std::exp(-std::abs(x))); });
}

}  // namespace

CAMEO_DEFINE_OP(Softplus) = {
    .name = "Softplus",
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
