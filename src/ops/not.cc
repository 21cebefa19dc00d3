// Not (ai.onnx 1): the negation of a bool.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  map_unary<bool, bool>(c.input(0), c.output(0), [](bool x) { return !x; });
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Not) = {
    .name = "Not",
    .input_types = {kBoolType},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
