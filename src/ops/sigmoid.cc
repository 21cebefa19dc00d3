// Sigmoid (ai.onnx 1, 6, 13): 1 / (1 + exp(-x)).
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return 1 / (1 + std::exp(-x)); });
}

}  // namespace

CAMEO_DEFINE_OP(Sigmoid) = {
    .name = "Sigmoid",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
