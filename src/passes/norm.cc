#include "passes/norm.h"

#include <cstring>

#include "ops/dispatch.h"
#include "passes/region.h"

namespace cameo::passes {

Result<Norm> norm_of(const GraphView& view, ir::ValueId x, const ir::Node& mean, ir::ValueId epsilon) {
  const auto refuse = [](std::string_view why) { return error(ErrorCode::kUnsupported, "{}", why); };
  const auto& shape = view.shape(x);
  const auto axes = kept_reduction_axes(view, mean);
  if (!shape || !axes) return refuse("the rank or the axes that it is over are not known");
  const auto axis = trailing_axis(*axes, shape->size());
  if (!axis) return refuse("the axes that it is over are not the last");
  const auto number = number_of(view, epsilon);
  if (!number || static_cast<double>(static_cast<float>(*number)) != *number) return refuse("epsilon is not a number of type float");
  const auto extents = to_dims(ir::Shape(shape->begin() + *axis, shape->end()));
  if (!extents) return refuse("the extents that it is over are not known");
  // From the end, so that the operator means the same whatever comes before.
  return Norm{x, *axis - static_cast<int64_t>(shape->size()), static_cast<float>(*number), *extents};
}

namespace {

// A tensor of these extents, each element with the bytes of `element`.
std::optional<Tensor> filled(DType dtype, const Dims& extents, const void* element) {
  auto t = Tensor::allocate(dtype, extents);
  if (!t.ok()) return std::nullopt;
  const size_t size = dtype_size(dtype);
  for (size_t at = 0; at < t->num_bytes(); at += size) std::memcpy(static_cast<std::byte*>(t->raw()) + at, element, size);
  return std::move(t).value();
}

}  // namespace

std::optional<Tensor> norm_parameter(const GraphView& view, ir::ValueId value, DType dtype, const Dims& extents) {
  const Tensor* t = view.constant(value);
  if (t == nullptr || t->dtype() != dtype || !ops::kFloatTypes.contains(dtype)) return std::nullopt;
  if (t->num_elements() == 1 && t->rank() <= extents.rank()) return filled(dtype, extents, t->raw());
  // The same extents, further ones in front being 1.
  if (t->rank() < extents.rank()) return std::nullopt;
  const size_t further = t->rank() - extents.rank();
  for (size_t i = 0; i < t->rank(); ++i)
    if (t->dim(i) != (i < further ? 1 : extents[i - further])) return std::nullopt;
  return t->reshaped(extents);
}

std::optional<Tensor> ones(DType dtype, const Dims& extents) {
  std::optional<Tensor> t;
  const Status status = ops::dispatch_floats(dtype, "ones", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T one = static_cast<T>(compute_t<T>{1});
    t = filled(dtype, extents, &one);
    return {};
  });
  return status.ok() ? t : std::nullopt;
}

bool is_ones(const GraphView& view, ir::ValueId value) {
  const Tensor* t = view.constant(value);
  if (t == nullptr) return false;
  bool all = false;
  const Status status = ops::dispatch_floats(t->dtype(), "ones", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    all = true;
    for (const T& element : t->span<T>()) all &= static_cast<compute_t<T>>(element) == compute_t<T>{1};
    return {};
  });
  return status.ok() && all;
}

std::optional<Dims> normalized_extents(const GraphView& view, const ir::Node& norm) {
  const auto& shape = view.shape(norm.inputs[0]);
  const auto axis = attr<int64_t>(norm, "axis");
  if (!shape || !axis) return std::nullopt;
  const int64_t first = *axis < 0 ? *axis + static_cast<int64_t>(shape->size()) : *axis;
  if (first < 0 || first >= static_cast<int64_t>(shape->size())) return std::nullopt;
  return to_dims(ir::Shape(shape->begin() + first, shape->end()));
}

Pattern square(const Pattern& x) { return either({op("Pow", x, scalar(2)), op("Mul", x, x)}); }

namespace {
Pattern with_epsilon(const Pattern& variance) { return op("Add", variance, constant("epsilon")); }
}  // namespace

Pattern root_of(const Pattern& variance) {
  const Pattern sum = with_epsilon(variance);
  return either({op("Sqrt", sum), op("Pow", sum, scalar(0.5))});
}

Pattern inverse_root(const Pattern& variance) {
  const Pattern root = root_of(variance), sum = with_epsilon(variance);
  return either({op("Reciprocal", root), op("Div", scalar(1), root), op("Pow", sum, scalar(-0.5)), op("Pow", root, scalar(-1)),
                 op("Sqrt", op("Reciprocal", sum))});
}

Pattern divided_by_root(const Pattern& x, const Pattern& variance) {
  return either({op("Div", x, root_of(variance)), op("Mul", x, inverse_root(variance))});
}

}  // namespace cameo::passes
