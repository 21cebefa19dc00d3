// SequenceLength (ai.onnx 11): how many elements a sequence has, an int64 scalar.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(element_type(c, 0));
  c.set_output(0, DType::kInt64, {});
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const auto elements, sequence_elements(c, 0));
  c.output(0).data<int64_t>()[0] = static_cast<int64_t>(elements.size());
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceLength) = {
    .name = "SequenceLength",
    .min_version = 11,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
