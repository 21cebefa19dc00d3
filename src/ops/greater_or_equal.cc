// GreaterOrEqual (ai.onnx 12, 16): a >= b, as bool.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return compare_numbers(c, [](auto a, auto b) { return a >= b; });
}

}  // namespace

CAMEO_DEFINE_OP(GreaterOrEqual) = {
    .name = "GreaterOrEqual",
    .min_version = 12,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer_comparison,
    .reference = &reference,
};

}  // namespace cameo::ops
