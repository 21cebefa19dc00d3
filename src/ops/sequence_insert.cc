// SequenceInsert (ai.onnx 11): the sequence with a tensor inserted before a position, by default at the end.
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_ASSIGN(const ir::Type element, element_type(c, 0));
  const ir::Type& inserted = c.input(1);
  if (element.dtype != DType::kUndefined && inserted.dtype != DType::kUndefined && element.dtype != inserted.dtype)
    return error(ErrorCode::kInvalidModel, "a tensor of {} cannot be inserted into a sequence of {}", dtype_name(inserted.dtype),
                 dtype_name(element.dtype));
  // Elements may differ in shape, and nothing tells an empty sequence from another.
  const DType dtype = element.dtype != DType::kUndefined ? element.dtype : inserted.dtype;
  ir::Type joined = element.kind == ir::Type::Kind::kUnknown ? ir::Type{} : ir::join(element, inserted);
  if (joined.kind != ir::Type::Kind::kTensor) joined = ir::Type::tensor(dtype);
  joined.dtype = dtype;
  c.set_output(0, ir::Type::sequence(std::move(joined)));
  return {};
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const auto elements, sequence_elements(c, 0));
  size_t position = elements.size();
  if (c.has_input(2)) {
    CAMEO_ASSIGN(position, sequence_position(c.input(2), elements.size(), true));
  }
  const auto at = static_cast<std::ptrdiff_t>(position);
  CAMEO_ASSIGN(RtValue inserted, owning(c.value(1)));
  std::vector<RtValue> longer;
  longer.reserve(elements.size() + 1);
  longer.insert(longer.end(), elements.begin(), elements.begin() + at);
  longer.push_back(std::move(inserted));
  longer.insert(longer.end(), elements.begin() + at, elements.end());
  c.set_value(0, RtValue::sequence(std::move(longer), c.input(1).dtype()));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(SequenceInsert) = {
    .name = "SequenceInsert",
    .min_version = 11,
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {{}, kAllTypes, kIndexTypes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
