// The type of a value in a graph: a tensor, a sequence of a type, or an optional of a type.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ir/dim.h"

namespace cameo::ir {

struct Type {
  enum class Kind : uint8_t { kUnknown, kTensor, kSequence, kOptional };

  Kind kind = Kind::kUnknown;
  DType dtype = DType::kUndefined;      // of a tensor; kUndefined: not known yet
  std::optional<Shape> shape;           // of a tensor; nothing: rank not known
  std::shared_ptr<const Type> element;  // of a sequence or an optional

  static Type tensor(DType dtype) { return {Kind::kTensor, dtype, std::nullopt, nullptr}; }
  static Type tensor(DType dtype, Shape shape) { return {Kind::kTensor, dtype, std::move(shape), nullptr}; }
  static Type sequence(Type element) {
    return {Kind::kSequence, DType::kUndefined, std::nullopt, std::make_shared<Type>(std::move(element))};
  }
  static Type optional(Type element) {
    return {Kind::kOptional, DType::kUndefined, std::nullopt, std::make_shared<Type>(std::move(element))};
  }

  bool is_tensor() const { return kind == Kind::kTensor; }
  bool has_shape() const { return shape.has_value(); }
  // A tensor with its type and every extent known.
  bool is_concrete() const { return is_tensor() && dtype != DType::kUndefined && shape && is_static(*shape); }

  // "float32[batch, 3]", "sequence(int64[?])"
  std::string to_string() const;
};

// The type that Type::to_string wrote; extents other than numbers are unknown, and so is "?".
Result<Type> type_from_string(std::string_view text);

// What is known when both hold: fills in what one of them lacks; an error when they contradict each other.
Result<Type> unify(const Type& a, const Type& b);
// What holds for either: keeps what both agree on.
Type join(const Type& a, const Type& b);

}  // namespace cameo::ir
