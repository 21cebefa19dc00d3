// Neg (ai.onnx 1, 6, 13): -x; the least integer of a type stays as it is.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_numbers(c, [](auto x) { return wrapping(x, x, [](auto u, auto) { return -u; }); });
}

}  // namespace

CAMEO_DEFINE_OP(Neg) = {
    .name = "Neg",
    .input_types = {kFloatTypes | kSignedTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
