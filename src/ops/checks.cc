#include "ops/checks.h"

namespace cameo::ops {

Status check_same_dtype(const InferContext& c, std::initializer_list<size_t> inputs) {
  DType first = DType::kUndefined;
  size_t first_index = 0;
  for (size_t i : inputs) {
    if (!c.has_input(i) || c.dtype(i) == DType::kUndefined) continue;
    if (first == DType::kUndefined) {
      first = c.dtype(i);
      first_index = i;
    } else if (c.dtype(i) != first) {
      return error(ErrorCode::kInvalidModel, "input {} is {}, but input {} is {}; they must have one type", i, dtype_name(c.dtype(i)),
                   first_index, dtype_name(first));
    }
  }
  return {};
}

Status check_rank(const InferContext& c, size_t i, size_t rank, std::string_view what) {
  if (c.has_input(i) && c.shape(i) && c.shape(i)->size() != rank)
    return error(ErrorCode::kInvalidInput, "{} is {}; it must have rank {}", what, ir::to_string(*c.shape(i)), rank);
  return {};
}

Result<ir::Dim> agree(const ir::Dim& a, const ir::Dim& b, std::string_view what) {
  if (a.is_const() && b.is_const() && !(a == b))
    return error(ErrorCode::kInvalidInput, "{}: {} where {} is expected", what, b.to_string(), a.to_string());
  if (a.is_unknown() || (b.is_const() && !a.is_const())) return b;
  return a;
}

Status check_shape(const InferContext& c, size_t i, const ir::Shape& expected, std::string_view what) {
  if (!c.has_input(i) || !c.shape(i)) return {};
  const ir::Shape& shape = *c.shape(i);
  bool fits = shape.size() == expected.size();
  for (size_t k = 0; fits && k < shape.size(); ++k) fits = !shape[k].is_const() || !expected[k].is_const() || shape[k] == expected[k];
  if (!fits) return error(ErrorCode::kInvalidInput, "{} has shape {}; {} is expected", what, ir::to_string(shape), ir::to_string(expected));
  return {};
}

Status check_broadcasts_to(const InferContext& c, size_t i, const ir::Shape& shape, std::string_view what) {
  if (!c.has_input(i) || !c.shape(i)) return {};
  const ir::Shape& from = *c.shape(i);
  bool fits = from.size() <= shape.size();
  for (size_t k = 0; fits && k < from.size(); ++k) {
    const ir::Dim &a = from[k], &b = shape[k + shape.size() - from.size()];
    fits = a.is(1) || !a.is_const() || !b.is_const() || a == b;
  }
  if (!fits)
    return error(ErrorCode::kInvalidInput, "{} of shape {} does not broadcast to {}", what, ir::to_string(from), ir::to_string(shape));
  return {};
}

}  // namespace cameo::ops
