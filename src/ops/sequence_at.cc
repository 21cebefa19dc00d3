// SequenceAt (ai.onnx 11): the tensor at a position of a sequence; negative positions count from the end.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_ASSIGN(ir::Type element, element_type(c, 0));
  c.set_output(0, std::move(element));
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const auto elements, sequence_elements(c, 0));
  CAMEO_ASSIGN(const size_t position, sequence_position(c.input(1), elements.size(), false));
  c.set_value(0, elements[position]);
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceAt) = {
    .name = "SequenceAt",
    .min_version = 11,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {{}, kIndexTypes},
    .infer = &infer,
    .reference = &reference,
    .flags = kDataDependent,
};

}  // namespace cameo::ops
