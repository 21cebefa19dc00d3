// OptionalGetElement (ai.onnx 15, 18, 28): what an optional holds; an error when it is empty. From version 18 on a tensor or
// sequence is taken as an optional that holds it.
#include "ops/op.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  const ir::Type& type = c.input(0);
  c.set_output(0, type.kind == ir::Type::Kind::kOptional ? *type.element : type);
  return {};
}

Status reference(KernelContext& c) {
  const RtValue& value = c.value(0);
  if (value.kind != ir::Type::Kind::kOptional) {
    c.set_value(0, value);
    return {};
  }
  if (value.elements == nullptr || value.elements->empty()) return error(ErrorCode::kInvalidInput, "the optional is empty");
  c.set_value(0, value.elements->front());
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(OptionalGetElement) = {
    .name = "OptionalGetElement",
    .min_version = 15,
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
