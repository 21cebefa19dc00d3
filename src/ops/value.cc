#include "ops/value.h"

namespace cameo::ops {

ir::Type type_of(const RtValue& value) {
  switch (value.kind) {
    case ir::Type::Kind::kTensor:
      return value.tensor.defined() ? ir::Type::tensor(value.tensor.dtype(), ir::to_shape(value.tensor.dims())) : ir::Type{};
    case ir::Type::Kind::kSequence: {
      if (value.elements->empty())
        return ir::Type::sequence(value.element_dtype == DType::kUndefined ? ir::Type{} : ir::Type::tensor(value.element_dtype));
      ir::Type element = type_of(value.elements->front());
      for (size_t i = 1; i < value.elements->size(); ++i) element = ir::join(element, type_of((*value.elements)[i]));
      return ir::Type::sequence(std::move(element));
    }
    case ir::Type::Kind::kOptional:
      return ir::Type::optional(value.elements->empty() ? ir::Type{} : type_of(value.elements->front()));
    case ir::Type::Kind::kUnknown:
      break;
  }
  return {};
}

Status check_settled(const ir::Node& node, size_t output, const ir::Type& type) {
  if (type.is_concrete() || (node.op->flags & (kDataDependent | kControlFlow))) return {};
  if (type.kind == ir::Type::Kind::kSequence || type.kind == ir::Type::Kind::kOptional) return {};
  return error(ErrorCode::kInvalidModel, "the shape of output {} does not follow from the inputs", output);
}

}  // namespace cameo::ops
