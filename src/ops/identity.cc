// Identity (ai.onnx 1, 13, 14, 16, 19, 21, 23, 24, 25): y = x, for tensors, and from version 14 for sequences and
// from 16 for optionals.
#include "ops/move.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  c.set_output(0, c.input(0));
  if (auto values = c.values(0)) c.set_values(0, std::move(*values));
  return {};
}

Status reference(KernelContext& c) {
  if (c.value(0).is_tensor() && c.input(0).defined()) return copy_input(c);
  c.set_value(0, c.value(0));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Identity) = {
    .name = "Identity",
    .infer = &infer,
    .reference = &reference,
    .flags = kView,
};

}  // namespace cameo::ops
