// OptionalHasElement (ai.onnx 15, 18, 28): whether an optional holds something, a bool scalar. From version 18 on a tensor or
// sequence counts as an optional that holds it, and an absent input as an empty one.
#include "ops/op.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  if (c.version() < 18 && !c.has_input(0)) return error(ErrorCode::kInvalidModel, "lacks its input 0; it may be absent from version 18 on");
  c.set_output(0, DType::kBool, {});
  return {};
}

Status reference(KernelContext& c) {
  bool holds = c.has_input(0);
  if (holds) {
    const RtValue& value = c.value(0);
    holds = value.kind == ir::Type::Kind::kOptional ? value.elements != nullptr && !value.elements->empty()
                                                    : value.kind == ir::Type::Kind::kSequence || value.tensor.defined();
  }
  c.output(0).data<bool>()[0] = holds;
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(OptionalHasElement) = {
    .name = "OptionalHasElement",
    .min_version = 15,
    .min_inputs = 0,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
