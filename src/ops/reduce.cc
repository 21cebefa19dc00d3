#include "ops/reduce.h"

namespace cameo::ops {
namespace {

// Which axes are reduced.
Result<std::vector<char>> mark(std::span<const int64_t> axes, size_t rank) {
  std::vector<char> reduced(rank, 0);
  for (int64_t axis : axes) {
    CAMEO_ASSIGN(const size_t a, normalize_axis(axis, rank, "axes"));
    reduced[a] = 1;
  }
  return reduced;
}

}  // namespace

Status infer_reduce(InferContext& c) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  ir::Type output = ir::Type::tensor(c.dtype(0));
  const auto finish = [&] {
    c.set_output(0, std::move(output));
    return Status{};
  };
  if (!c.shape(0)) return finish();
  const ir::Shape& shape = *c.shape(0);
  if (c.has_input(1) && c.shape(1) && c.shape(1)->size() > 1)
    return error(ErrorCode::kInvalidModel, "axes have shape {}, but must be a list", ir::to_string(*c.shape(1)));
  std::optional<std::vector<int64_t>> axes = attrs.axes;
  if (c.has_input(1)) {
    axes = c.ints(1);
    if (!axes) {
      const bool none = c.shape(1) && c.shape(1)->size() == 1 && (*c.shape(1))[0].is(0);
      if (none)
        axes.emplace();
      else {
        if (attrs.keepdims) output.shape = ir::Shape(shape.size(), ir::Dim::unknown());
        return finish();
      }
    }
  }
  const bool all = !axes || axes->empty();
  if (all && attrs.noop_with_empty_axes) {
    output.shape = shape;
    return finish();
  }
  std::vector<char> reduced(shape.size(), 1);
  if (!all) {
    CAMEO_ASSIGN(reduced, mark(*axes, shape.size()));
  }
  output.shape.emplace();
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!reduced[i])
      output.shape->push_back(shape[i]);
    else if (attrs.keepdims)
      output.shape->push_back(1);
  }
  return finish();
}

ReducePlan plan_reduce(const Dims& dims, std::span<const bool> reduced) {
  ReducePlan plan;
  // Innermost first: extents of 1 vanish, neighbours of one kind merge.
  int64_t stride = 1;
  bool have_run = false, last_reduced = false;
  for (size_t i = dims.rank(); i-- > 0;) {
    const int64_t extent = dims[i];
    if (reduced[i]) plan.count *= extent;
    if (extent == 1) continue;
    if (!have_run) {
      plan.run = extent;
      plan.run_reduced = reduced[i];
      have_run = true;
    } else if (plan.kept.empty() && plan.reduced.empty() && reduced[i] == plan.run_reduced) {
      plan.run *= extent;
    } else {
      Dims& extents = reduced[i] ? plan.reduced : plan.kept;
      Dims& strides = reduced[i] ? plan.reduced_strides : plan.kept_strides;
      if (last_reduced == reduced[i] && !extents.empty()) {
        extents[0] *= extent;
      } else {
        extents.insert(0, extent);
        strides.insert(0, stride);
      }
    }
    last_reduced = reduced[i];
    stride *= extent;
  }
  return plan;
}

Result<ReducePlan> plan_reduce(const KernelContext& c) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  const Dims& dims = c.input(0).dims();
  std::span<const int64_t> axes;
  if (c.has_input(1))
    axes = c.input(1).span<int64_t>();
  else if (attrs.axes)
    axes = *attrs.axes;
  bool inline_reduced[Dims::kInline];
  std::unique_ptr<bool[]> heap;
  if (dims.rank() > Dims::kInline) heap = std::make_unique<bool[]>(dims.rank());
  bool* reduced = heap ? heap.get() : inline_reduced;
  const bool all = axes.empty() && !attrs.noop_with_empty_axes;
  for (size_t i = 0; i < dims.rank(); ++i) reduced[i] = all;
  for (int64_t axis : axes) {
    CAMEO_ASSIGN(const size_t a, normalize_axis(axis, dims.rank(), "axes"));
    reduced[a] = true;
  }
  return plan_reduce(dims, std::span<const bool>(reduced, dims.rank()));
}

}  // namespace cameo::ops
