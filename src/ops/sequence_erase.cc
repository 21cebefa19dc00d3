// SequenceErase (ai.onnx 11): the sequence without the element at a position, by default the last.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_ASSIGN(ir::Type element, element_type(c, 0));
  c.set_output(0, ir::Type::sequence(std::move(element)));
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const auto elements, sequence_elements(c, 0));
  if (elements.empty()) return error(ErrorCode::kInvalidInput, "the sequence is empty: there is nothing to erase");
  size_t position = elements.size() - 1;
  if (c.has_input(1)) {
    CAMEO_ASSIGN(position, sequence_position(c.input(1), elements.size(), false));
  }
  std::vector<RtValue> rest(elements.begin(), elements.end());
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(position));
  c.set_value(0, RtValue::sequence(std::move(rest), sequence_dtype(c.value(0))));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceErase) = {
    .name = "SequenceErase",
    .min_version = 11,
    .min_inputs = 1,
    .max_inputs = 2,
    .input_types = {{}, kIndexTypes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
