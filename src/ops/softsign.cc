// Softsign (ai.onnx 1, 22): x / (1 + |x|).
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return x / (1 + std::abs(x)); });
}

}  // namespace

CAMEO_DEFINE_OP(Softsign) = {
    .name = "Softsign",
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
