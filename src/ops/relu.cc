// Relu (ai.onnx 1, 6, 13, 14): max(x, 0); NaN stays NaN. Version 14 added signed integers.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_numbers(c, [](auto x) { return x < 0 ? decltype(x){} : x; });
}

}  // namespace

CAMEO_DEFINE_OP(Relu) = {
    .name = "Relu",
    .input_types = {kFloatTypes | kSignedTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
