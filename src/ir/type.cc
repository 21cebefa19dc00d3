#include "ir/type.h"

#include <algorithm>
#include <charconv>

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

Result<Type> type_from_string(std::string_view text) {
  if (text == "?") return Type{};
  for (const auto& [prefix, kind] : {std::pair("sequence(", Type::Kind::kSequence), std::pair("optional(", Type::Kind::kOptional)}) {
    if (!text.starts_with(prefix) || !text.ends_with(')')) continue;
    text.remove_prefix(std::string_view(prefix).size());
    text.remove_suffix(1);
    CAMEO_ASSIGN(Type element, type_from_string(text));
    return kind == Type::Kind::kSequence ? Type::sequence(std::move(element)) : Type::optional(std::move(element));
  }
  const size_t open = text.find('[');
  Type type = Type::tensor(dtype_from_name(text.substr(0, open)));
  if (type.dtype == DType::kUndefined) return error(ErrorCode::kInvalidModel, "'{}' names no type", text);
  if (open == text.npos || text.substr(open) == "[...]") return type;
  std::string_view extents = text.substr(open + 1);
  if (!extents.ends_with(']')) return error(ErrorCode::kInvalidModel, "'{}' names no type", text);
  extents.remove_suffix(1);
  type.shape.emplace();
  while (!extents.empty()) {
    const std::string_view extent = extents.substr(0, extents.find(", "));
    int64_t value = 0;
    const auto [end, problem] = std::from_chars(extent.data(), extent.data() + extent.size(), value);
    const bool number = problem == std::errc{} && end == extent.data() + extent.size() && value >= 0;
    type.shape->push_back(number ? Dim(value) : Dim::unknown());
    extents.remove_prefix(std::min(extents.size(), extent.size() + 2));
  }
  return type;
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
