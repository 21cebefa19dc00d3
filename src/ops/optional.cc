// Optional (ai.onnx 15, 28): an optional that holds the input, or an empty one of the type that `type` gives.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

struct OptionalAttrs : ir::AttrsOf<OptionalAttrs> {
  std::optional<std::string> type;  // as ir::Type::to_string writes it
  void visit(ir::AttrVisitor& v) override { v("type", type); }
};

Status infer(InferContext& c) {
  if (c.has_input(0)) {
    c.set_output(0, ir::Type::optional(c.input(0)));
    return {};
  }
  const auto& text = c.attrs<OptionalAttrs>().type;
  if (!text) return error(ErrorCode::kInvalidModel, "has neither an input nor the attribute 'type'");
  CAMEO_ASSIGN(ir::Type element, ir::type_from_string(*text));
  c.set_output(0, ir::Type::optional(std::move(element)));
  return {};
}

Status reference(KernelContext& c) {
  if (!c.has_input(0)) {
    c.set_value(0, RtValue::optional(std::nullopt));
    return {};
  }
  CAMEO_ASSIGN(RtValue element, owning(c.value(0)));
  c.set_value(0, RtValue::optional(std::move(element)));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Optional) = {
    .name = "Optional",
    .min_version = 15,
    .min_inputs = 0,
    .make_attrs = &ir::make_attrs<OptionalAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
