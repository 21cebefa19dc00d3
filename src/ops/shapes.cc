#include "ops/shapes.h"

#include <algorithm>

namespace cameo::ops {

Result<size_t> normalize_axis(int64_t axis, size_t rank, const char* what) {
  const auto r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r)
    return error(ErrorCode::kInvalidModel, "{} is {}, but a tensor of rank {} has axes {} to {}", what, axis, rank, -r, r - 1);
  return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Result<std::vector<size_t>> normalize_axes(std::span<const int64_t> axes, size_t rank, const char* what) {
  std::vector<size_t> normal;
  std::vector<char> seen(rank, 0);
  for (int64_t axis : axes) {
    CAMEO_ASSIGN(const size_t a, normalize_axis(axis, rank, what));
    if (seen[a]) return error(ErrorCode::kInvalidModel, "{} names axis {} twice", what, axis);
    seen[a] = 1;
    normal.push_back(a);
  }
  return normal;
}

Result<ir::Shape> broadcast(const ir::Shape& a, const ir::Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  ir::Shape out(rank);
  for (size_t i = 0; i < rank; ++i) {
    const ir::Dim x = i + a.size() < rank ? ir::Dim(1) : a[i + a.size() - rank];
    const ir::Dim y = i + b.size() < rank ? ir::Dim(1) : b[i + b.size() - rank];
    if (x.is(1))
      out[i] = y;
    else if (y.is(1) || x == y)
      out[i] = x;
    else if (x.is_const() && y.is_const())
      return error(ErrorCode::kInvalidInput, "shapes {} and {} do not broadcast: {} against {}", ir::to_string(a), ir::to_string(b),
                   x.to_string(), y.to_string());
    else if (x.is_const())
      out[i] = x;  // the other is 1 or the same
    else if (y.is_const())
      out[i] = y;
    else if (x == y.unclamped())
      out[i] = x;  // y is x cut off at a constant (a slice of a table): where the cut bites the shapes do not broadcast
    else if (y == x.unclamped())
      out[i] = y;
    else
      out[i] = ir::Dim::unknown();
  }
  return out;
}

Status infer_same_as_input(InferContext& context) {
  context.set_output(0, context.input(0));
  return {};
}

namespace {

// The output has type `dtype`, or that of the inputs where it is kUndefined.
Status infer_broadcast_as(InferContext& context, DType dtype) {
  DType type = DType::kUndefined;
  std::optional<ir::Shape> shape = ir::Shape{};
  for (size_t i = 0; i < context.num_inputs(); ++i) {
    if (!context.has_input(i)) continue;
    if (type == DType::kUndefined) type = context.dtype(i);
    if (context.dtype(i) != DType::kUndefined && context.dtype(i) != type)
      return error(ErrorCode::kInvalidModel, "input {} is {}, but all inputs must be of one type and the first is {}", i,
                   dtype_name(context.dtype(i)), dtype_name(type));
    if (shape && context.shape(i)) {
      CAMEO_ASSIGN(shape, broadcast(*shape, *context.shape(i)));
    } else {
      shape.reset();
    }
  }
  ir::Type output = ir::Type::tensor(dtype == DType::kUndefined ? type : dtype);
  output.shape = std::move(shape);
  context.set_output(0, std::move(output));
  return {};
}

}  // namespace

Status infer_broadcast(InferContext& context) { return infer_broadcast_as(context, DType::kUndefined); }
Status infer_broadcast_bool(InferContext& context) { return infer_broadcast_as(context, DType::kBool); }

Dims strides_of(const Dims& dims) {
  Dims strides(dims.rank(), 1);
  for (size_t i = dims.rank(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

Dims broadcast_strides(const Dims& from, const Dims& to) {
  Dims strides(to.rank(), 0);
  const Dims own = strides_of(from);
  const size_t lead = to.rank() - from.rank();
  for (size_t i = 0; i < from.rank(); ++i) strides[lead + i] = from[i] == 1 ? 0 : own[i];
  return strides;
}

}  // namespace cameo::ops
