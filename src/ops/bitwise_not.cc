// BitwiseNot (ai.onnx 18): every bit inverted.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return dispatch_integers(c.input(0).dtype(), "BitwiseNot", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_unary<T, T>(c.input(0), c.output(0), [](T x) { return ~x; });
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(BitwiseNot) = {
    .name = "BitwiseNot",
    .min_version = 18,
    .input_types = {kIntegerTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
