// Sum (ai.onnx 1, 6, 8, 13): the sum of the inputs, element by element, with broadcasting (from version 8 on; before, all shapes
// are equal). 16-bit floats are added in float and rounded once.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) { return add_inputs(c, false); }

}  // namespace

CAMEO_DEFINE_OP(Sum) = {
    .name = "Sum",
    .min_inputs = 1,
    .max_inputs = kVariadic,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_broadcast,
    .reference = &reference,
};

}  // namespace cameo::ops
