// Size (ai.onnx 1, 13, 19, 21, 23, 24, 25): the number of elements of a tensor as an int64 scalar.
#include "ops/move.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  c.set_output(0, DType::kInt64, {});
  if (c.shape(0)) c.set_values(0, {ir::num_elements(*c.shape(0))});
  return {};
}

Status reference(KernelContext& c) {
  c.output(0).data<int64_t>()[0] = c.input(0).num_elements();
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Size) = {
    .name = "Size",
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
