#include "ops/sequence.h"

namespace cameo::ops {

Result<ir::Type> element_type(const InferContext& c, size_t i) {
  const ir::Type& type = c.input(i);
  if (type.kind == ir::Type::Kind::kUnknown) return ir::Type{};
  if (type.kind != ir::Type::Kind::kSequence)
    return error(ErrorCode::kInvalidModel, "input {} is {}, where a sequence is needed", i, type.to_string());
  return *type.element;
}

Result<std::span<const RtValue>> sequence_elements(const KernelContext& c, size_t i) {
  const RtValue& value = c.value(i);
  if (value.kind != ir::Type::Kind::kSequence || value.elements == nullptr)
    return error(ErrorCode::kInvalidInput, "input {} is not a sequence", i);
  return std::span<const RtValue>(*value.elements);
}

Result<size_t> sequence_position(const Tensor& position, size_t size, bool past_end) {
  if (position.num_elements() != 1)
    return error(ErrorCode::kInvalidInput, "position has shape {}; it must be one number", position.dims().to_string());
  const int64_t given = position.dtype() == DType::kInt32 ? position.data<int32_t>()[0] : position.data<int64_t>()[0];
  const auto n = static_cast<int64_t>(size);
  const int64_t last = past_end ? n : n - 1;
  if (given < -n || given > last) {
    if (last < -n) return error(ErrorCode::kInvalidInput, "position is {}, but the sequence is empty", given);
    return error(ErrorCode::kInvalidInput, "position is {}; in a sequence of length {} it may be {} to {}", given, n, -n, last);
  }
  return static_cast<size_t>(given < 0 ? given + n : given);
}

Result<RtValue> owning(const RtValue& value) {
  if (!value.is_tensor() || !value.tensor.defined() || value.tensor.owner() != nullptr) return value;
  CAMEO_ASSIGN(Tensor copy, value.tensor.clone());
  return RtValue::of(std::move(copy));
}

DType sequence_dtype(const RtValue& sequence) {
  if (sequence.elements == nullptr || sequence.elements->empty() || !sequence.elements->front().is_tensor()) return sequence.element_dtype;
  return sequence.elements->front().tensor.dtype();
}

}  // namespace cameo::ops
