// Less (ai.onnx 1, 7, 9, 13): a < b, as bool.
// Before version 7 the second operand is broadcast only on demand (attributes broadcast and axis).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return compare_numbers(c, [](auto a, auto b) { return a < b; });
}

}  // namespace

CAMEO_DEFINE_OP(Less) = {
    .name = "Less",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer_comparison,
    .reference = &reference,
};

}  // namespace cameo::ops
