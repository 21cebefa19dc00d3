// Reciprocal (ai.onnx 1, 6, 13): 1 / x.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return 1 / x; });
}

}  // namespace

CAMEO_DEFINE_OP(Reciprocal) = {
    .name = "Reciprocal",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
