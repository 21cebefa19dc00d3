// BitwiseXor (ai.onnx 18): bitwise exclusive or, with broadcasting.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return combine_integers(c, [](auto a, auto b) { return a ^ b; });
}

}  // namespace

CAMEO_DEFINE_OP(BitwiseXor) = {
    .name = "BitwiseXor",
    .min_version = 18,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kIntegerTypes},
    .infer = &infer_broadcast,
    .reference = &reference,
};

}  // namespace cameo::ops
