#include "ir/type.h"

#include "base/error.h"

namespace cameo::ir {

std::string Type::to_string() const {
  switch (kind) {
    case Kind::kUnknown:
      return "?";
    case Kind::kTensor:
      return std::string(dtype_name(dtype)) + (shape ? ir::to_string(*shape) : "[...]");
    case Kind::kSequence:
      return "sequence(" + element->to_string() + ")";
    case Kind::kOptional:
      return "optional(" + element->to_string() + ")";
  }
  return "?";
}

Result<Type> unify(const Type& a, const Type& b) {
  if (a.kind == Type::Kind::kUnknown) return b;
  if (b.kind == Type::Kind::kUnknown) return a;
  const auto mismatch = [&] { return error(ErrorCode::kInvalidModel, "type {} contradicts {}", a.to_string(), b.to_string()); };
  if (a.kind != b.kind) return mismatch();
  if (!a.is_tensor()) {
    CAMEO_ASSIGN(Type element, unify(*a.element, *b.element));
    return a.kind == Type::Kind::kSequence ? Type::sequence(std::move(element)) : Type::optional(std::move(element));
  }
  Type both = a;
  if (both.dtype == DType::kUndefined)
    both.dtype = b.dtype;
  else if (b.dtype != DType::kUndefined && b.dtype != both.dtype)
    return mismatch();
  if (!both.shape)
    both.shape = b.shape;
  else if (b.shape) {
    if (b.shape->size() != both.shape->size()) return mismatch();
    for (size_t i = 0; i < b.shape->size(); ++i) {
      Dim& x = (*both.shape)[i];
      const Dim& y = (*b.shape)[i];
      if (x.is_const() && y.is_const() && !(x == y)) return mismatch();
      if (x.is_unknown() || (!x.is_const() && y.is_const())) x = y;
    }
  }
  return both;
}

Type join(const Type& a, const Type& b) {
  if (a.kind != b.kind || a.kind == Type::Kind::kUnknown) return {};
  if (!a.is_tensor()) {
    Type element = join(*a.element, *b.element);
    return a.kind == Type::Kind::kSequence ? Type::sequence(std::move(element)) : Type::optional(std::move(element));
  }
  Type both = Type::tensor(a.dtype == b.dtype ? a.dtype : DType::kUndefined);
  if (a.shape && b.shape && a.shape->size() == b.shape->size()) {
    both.shape = a.shape;
    for (size_t i = 0; i < a.shape->size(); ++i)
      if (!((*a.shape)[i] == (*b.shape)[i])) (*both.shape)[i] = Dim::unknown();
  }
  return both;
}

}  // namespace cameo::ir
