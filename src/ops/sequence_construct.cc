// SequenceConstruct (ai.onnx 11): a sequence of the inputs, all of one element type.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  ir::Type element = c.input(0);
  for (size_t i = 1; i < c.num_inputs(); ++i) {
    const ir::Type& next = c.input(i);
    if (element.dtype != DType::kUndefined && next.dtype != DType::kUndefined && element.dtype != next.dtype)
      return error(ErrorCode::kInvalidModel, "input 0 is {} and input {} is {}; the tensors of a sequence have one element type",
                   element.to_string(), i, next.to_string());
    element = ir::join(element, next);
  }
  c.set_output(0, ir::Type::sequence(std::move(element)));
  return {};
}

Status reference(KernelContext& c) {
  std::vector<RtValue> elements;
  elements.reserve(c.num_inputs());
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    CAMEO_ASSIGN(RtValue element, owning(c.value(i)));
    elements.push_back(std::move(element));
  }
  const DType dtype = c.input(0).dtype();
  c.set_value(0, RtValue::sequence(std::move(elements), dtype));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceConstruct) = {
    .name = "SequenceConstruct",
    .min_version = 11,
    .max_inputs = kVariadic,
    .input_types = {kAllTypes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
