// And (ai.onnx 1, 7): a and b.
// Before version 7 the second operand is broadcast only on demand (attributes broadcast and axis).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return combine_bools(c, [](bool a, bool b) { return a && b; });
}

}  // namespace

CAMEO_DEFINE_OP(And) = {
    .name = "And",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kBoolType},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer_binary,
    .reference = &reference,
};

}  // namespace cameo::ops
