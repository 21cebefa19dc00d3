// Add (ai.onnx 1, 6, 7, 13, 14): sum; integers wrap around.
// Before version 7 the second operand is broadcast only on demand (attributes broadcast and axis).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  return infer_arithmetic(c, [](const ir::Dim& a, const ir::Dim& b) { return a + b; });
}

Status reference(KernelContext& c) {
  return combine_numbers(c, [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x + y; }); });
}

}  // namespace

CAMEO_DEFINE_OP(Add) = {
    .name = "Add",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
