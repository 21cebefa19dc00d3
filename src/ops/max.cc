// Max (ai.onnx 1, 6, 8, 12, 13): the largest of the inputs, element by element, with broadcasting (from version 8 on; before, all
// shapes are equal). NaN in any input gives NaN.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  return infer_variadic(c, [](const ir::Dim& a, const ir::Dim& b) { return max(a, b); });
}

Status reference(KernelContext& c) {
  return fold_inputs(c, [](auto a, auto b) { return b > a || b != b ? b : a; });
}

}  // namespace

CAMEO_DEFINE_OP(Max) = {
    .name = "Max",
    .min_inputs = 1,
    .max_inputs = kVariadic,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
