#include "ops/pointwise.h"

#include <algorithm>

namespace cameo::ops {
namespace {

// Extents of operand 1 with ones after them, so that it stands at `axis` of operand 0 (by default at its end).
Result<ir::Shape> aligned(const ir::Shape& a, ir::Shape b, const BinaryAttrs& attrs) {
  const auto rank_a = static_cast<int64_t>(a.size()), rank_b = static_cast<int64_t>(b.size());
  if (!attrs.broadcast || !attrs.axis || std::all_of(b.begin(), b.end(), [](const ir::Dim& d) { return d.is(1); })) return b;
  const int64_t axis = *attrs.axis < 0 ? *attrs.axis + rank_a : *attrs.axis;
  if (axis < 0 || axis > rank_a - rank_b)
    return error(ErrorCode::kInvalidModel, "axis is {}, but operand {} must lie inside operand {}", *attrs.axis, ir::to_string(b),
                 ir::to_string(a));
  b.insert(b.end(), static_cast<size_t>(rank_a - rank_b - axis), ir::Dim(1));
  return b;
}

// Shape rules of versions 1 to 6.
Status infer_limited(InferContext& c, DType dtype) {
  const auto& attrs = c.attrs<BinaryAttrs>();
  if (c.dtype(0) != DType::kUndefined && c.dtype(1) != DType::kUndefined && c.dtype(0) != c.dtype(1))
    return error(ErrorCode::kInvalidModel, "input 1 is {}, but both inputs must be of one type and the first is {}", dtype_name(c.dtype(1)),
                 dtype_name(c.dtype(0)));
  if (c.shape(0) && c.shape(1)) {
    const ir::Shape& a = *c.shape(0);
    CAMEO_ASSIGN(const ir::Shape b, aligned(a, *c.shape(1), attrs));
    CAMEO_ASSIGN(const ir::Shape both, broadcast(a, b));
    const bool fits = attrs.broadcast ? both.size() == a.size() : a.size() == b.size();
    for (size_t i = 0; i < both.size(); ++i)
      if (!fits || (both[i].is_const() && a[i].is_const() && !(both[i] == a[i])))
        return error(ErrorCode::kInvalidModel, "operand 1 {} does not fit operand 0 {}{}", ir::to_string(*c.shape(1)), ir::to_string(a),
                     attrs.broadcast ? "" : " (broadcast is 0)");
  }
  ir::Type output = c.input(0);
  if (dtype != DType::kUndefined) output.dtype = dtype;
  c.set_output(0, std::move(output));
  return {};
}

}  // namespace

Status infer_binary(InferContext& context) {
  return context.version() < 7 ? infer_limited(context, DType::kUndefined) : infer_broadcast(context);
}

Status infer_comparison(InferContext& context) {
  return context.version() < 7 ? infer_limited(context, DType::kBool) : infer_broadcast_bool(context);
}

namespace {

// What op makes of two lists of extents; one of them may be a single extent.
std::optional<ir::Shape> combined(const std::optional<ir::Shape>& a, const std::optional<ir::Shape>& b,
                                  ir::Dim (*op)(const ir::Dim& a, const ir::Dim& b)) {
  if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return std::nullopt;
  ir::Shape values(a->size() == 1 ? b->size() : a->size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = op((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
  return values;
}

}  // namespace

Status infer_arithmetic(InferContext& context, ir::Dim (*op)(const ir::Dim& a, const ir::Dim& b)) {
  CAMEO_TRY(infer_binary(context));
  if (auto values = combined(context.values(0), context.values(1), op)) context.set_values(0, std::move(*values));
  return {};
}

Status infer_variadic(InferContext& context, ir::Dim (*op)(const ir::Dim& a, const ir::Dim& b)) {
  CAMEO_TRY(infer_broadcast(context));
  std::optional<ir::Shape> values = context.values(0);
  for (size_t i = 1; values && i < context.num_inputs(); ++i) values = combined(values, context.values(i), op);
  if (values) context.set_values(0, std::move(*values));
  return {};
}

Tensor right_operand(const KernelContext& context) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  if (context.version() >= 7) return b;  // the attributes may be of another struct
  const auto& attrs = context.attrs<BinaryAttrs>();
  if (!attrs.broadcast || !attrs.axis || b.num_elements() == 1) return b;
  const auto rank = static_cast<int64_t>(a.rank());
  const int64_t axis = *attrs.axis < 0 ? *attrs.axis + rank : *attrs.axis;
  Dims dims = b.dims();
  while (static_cast<int64_t>(dims.rank()) < rank - axis) dims.push_back(1);
  return b.reshaped(dims);
}

Status add_inputs(KernelContext& context, bool mean) {
  return dispatch_floats(context.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    Tensor& y = context.output(0);
    const int64_t n = y.num_elements();
    Tensor sums = y;
    if constexpr (!std::is_same_v<T, C>) sums = Tensor::view(DType::kFloat32, y.dims(), context.scratch<C>(n).data());
    std::fill_n(sums.data<C>(), n, -C{});  // -0: the only number that adding leaves every x as it is, -0 too
    for (size_t i = 0; i < context.num_inputs(); ++i) map_pairs<C, T, C>(sums, context.input(i), sums, [](C sum, C x) { return sum + x; });
    const C count = mean ? static_cast<C>(context.num_inputs()) : C{1};
    map_unary<C, T>(sums, y, [count](C sum) { return sum / count; });
    return {};
  });
}

}  // namespace cameo::ops
