// Slice (ai.onnx 1, 10, 11, 13): y[i] = x[start + i * step] along each axis named, with Python's rules for negative and
// too large bounds. Version 1 has starts, ends and axes as attributes and no steps.
#include <algorithm>

#include "ops/move.h"
#include "ops/move_attrs.h"

namespace cameo::ops {
namespace {

struct Bounds {
  int64_t first = 0, count = 0;
};

// The indices that start:end:step takes of [0, extent).
Bounds bounds_of(int64_t extent, int64_t start, int64_t end, int64_t step) {
  step = std::max(step, -INT64_MAX);
  const auto clamp = [extent](int64_t at, int64_t least, int64_t most) { return std::clamp(at < 0 ? at + extent : at, least, most); };
  if (step > 0) {
    const int64_t first = clamp(start, 0, extent), last = clamp(end, 0, extent);
    return {first, first < last ? (last - first - 1) / step + 1 : 0};
  }
  const int64_t first = clamp(start, -1, extent - 1), last = clamp(end, -1, extent - 1);
  return {first, first > last ? (first - last - 1) / -step + 1 : 0};
}

// The number of indices where some of the numbers are symbolic.
ir::Dim symbolic_count(const ir::Dim& extent, const ir::Dim& start, const ir::Dim& end, int64_t step) {
  // Exporters write "to the end" as a large number; no tensor is that large.
  constexpr int64_t kFar = INT32_MAX;
  if (step < 0) {
    const bool whole = start.is(-1) && end.is_const() && end.value() <= -kFar;
    return whole && step > -kFar ? ceil_div(extent, ir::Dim(-step)) : ir::Dim::unknown();
  }
  ir::Dim last;
  if (end == extent || (end.is_const() && end.value() >= kFar))
    last = extent;
  else if (end.is_const() && end.value() < 0)
    last = end.value() <= -kFar ? ir::Dim(0) : max(extent + end, ir::Dim(0));
  else if (end.is_non_negative())
    last = min(end, extent);
  else
    return ir::Dim::unknown();
  ir::Dim count;
  if (start.is(0) || (start.is_const() && start.value() <= -kFar) || ir::Dim(0) - start == extent)
    count = last;
  else if (start.is_const() && start.value() < 0)
    count = last == extent ? min(ir::Dim(0) - start, extent) : max(last - max(extent + start, ir::Dim(0)), ir::Dim(0));
  else if (start.is_non_negative())
    count = last - start;
  if (!count.is_non_negative()) count = max(count, ir::Dim(0));
  return step == 1 ? count : ceil_div(count, ir::Dim(step));
}

// The bounds as they are known; an optional is empty when nothing is known of the list.
struct Arguments {
  std::optional<ir::Shape> starts, ends;
  std::optional<std::vector<int64_t>> axes, steps;
};

Result<Arguments> arguments_of(InferContext& c) {
  Arguments a;
  if (c.version() < 10) {
    const auto& attrs = c.attrs<SliceAttrs>();
    a.starts.emplace(attrs.starts.begin(), attrs.starts.end());
    a.ends.emplace(attrs.ends.begin(), attrs.ends.end());
    a.axes = attrs.axes;
  } else {
    if (!c.has_input(1) || !c.has_input(2)) return error(ErrorCode::kInvalidModel, "lacks its inputs starts and ends");
    for (size_t i = 1; i < c.num_inputs(); ++i) {
      if (c.has_input(i)) CAMEO_TRY(check_rank(c, i, 1, "a list of bounds, axes or steps"));
      if (const int64_t n = list_length(c, i).value_or(0); n > static_cast<int64_t>(kMaxRank))
        return error(ErrorCode::kUnsupported, "input {} has {} entries; at most {} are supported", i, n, kMaxRank);
    }
    a.starts = c.values(1);
    a.ends = c.values(2);
    if (c.has_input(3)) a.axes = c.ints(3);
    if (c.has_input(4)) a.steps = c.ints(4);
  }
  const auto length = a.starts ? a.starts->size() : a.ends ? a.ends->size() : SIZE_MAX;
  const auto check = [&](const char* what, size_t n) -> Status {
    if (n == length) return {};
    return error(ErrorCode::kInvalidModel, "starts has {} entries, but {} has {}", length, what, n);
  };
  if (length == SIZE_MAX) return a;
  if (a.ends) CAMEO_TRY(check("ends", a.ends->size()));
  if (a.axes) CAMEO_TRY(check("axes", a.axes->size()));
  if (a.steps) CAMEO_TRY(check("steps", a.steps->size()));
  if (a.steps)
    for (int64_t step : *a.steps)
      if (step == 0) return error(ErrorCode::kInvalidInput, "a step is 0");
  const bool axes_unknown = c.version() >= 10 && c.has_input(3) && !a.axes;
  if (!a.axes && !axes_unknown) {
    a.axes.emplace(length);
    for (size_t i = 0; i < length; ++i) (*a.axes)[i] = static_cast<int64_t>(i);
  }
  return a;
}

Status infer(InferContext& c) {
  CAMEO_ASSIGN(const Arguments a, arguments_of(c));
  if (!c.shape(0)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const ir::Shape& in = *c.shape(0);
  if (!a.axes) {
    c.set_output(0, c.dtype(0), ir::Shape(in.size()));
    return {};
  }
  CAMEO_ASSIGN(const auto axes, normalize_axes(*a.axes, in.size()));
  const bool steps_known = a.steps || c.version() < 10 || !c.has_input(4);
  ir::Shape out = in;
  for (size_t k = 0; k < axes.size(); ++k) {
    ir::Dim& d = out[axes[k]];
    if (!a.starts || !a.ends || !steps_known) {
      d = ir::Dim::unknown();
      continue;
    }
    const ir::Dim &start = (*a.starts)[k], &end = (*a.ends)[k];
    const int64_t step = a.steps ? (*a.steps)[k] : 1;
    d = d.is_const() && start.is_const() && end.is_const() ? ir::Dim(bounds_of(d.value(), start.value(), end.value(), step).count)
                                                           : symbolic_count(d, start, end, step);
  }
  c.set_output(0, c.dtype(0), std::move(out));
  if (const auto values = c.values(0); values && in.size() == 1 && axes.size() == 1 && a.starts && a.ends && steps_known) {
    const ir::Dim &start = (*a.starts)[0], &end = (*a.ends)[0];
    if (!start.is_const() || !end.is_const()) return {};
    const int64_t step = a.steps ? (*a.steps)[0] : 1;
    const Bounds b = bounds_of(static_cast<int64_t>(values->size()), start.value(), end.value(), step);
    ir::Shape picked;
    for (int64_t i = 0; i < b.count; ++i) picked.push_back((*values)[static_cast<size_t>(b.first + i * step)]);
    c.set_values(0, std::move(picked));
  }
  return {};
}

int64_t entry(const Tensor& t, int64_t i) { return t.dtype() == DType::kInt64 ? t.data<int64_t>()[i] : t.data<int32_t>()[i]; }

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const SliceView view, slice_view(c));
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  copy_strided(x.dtype(), y.dims(), address(x, view.offset), view.strides, y.raw(), strides_of(y.dims()));
  return {};
}

}  // namespace

Result<SliceView> slice_view(KernelContext& c) {
  const auto& attrs = c.attrs<SliceAttrs>();
  const bool inputs = c.version() >= 10;
  const Tensor& x = c.input(0);
  SliceView view{0, strides_of(x.dims())};
  const int64_t count = inputs ? c.input(1).num_elements() : static_cast<int64_t>(attrs.starts.size());
  for (int64_t k = 0; k < count; ++k) {
    const auto at = static_cast<size_t>(k);
    const int64_t named = inputs ? c.has_input(3) ? entry(c.input(3), k) : k : attrs.axes ? (*attrs.axes)[at] : k;
    CAMEO_ASSIGN(const size_t axis, normalize_axis(named, x.rank()));
    const int64_t start = inputs ? entry(c.input(1), k) : attrs.starts[at], end = inputs ? entry(c.input(2), k) : attrs.ends[at];
    const int64_t step = inputs && c.has_input(4) ? entry(c.input(4), k) : 1;
    const Bounds b = bounds_of(x.dim(axis), start, end, step);
    view.offset += b.count > 0 ? b.first * view.strides[axis] : 0;
    // A step that is never taken may be too large to multiply.
    view.strides[axis] = b.count > 1 ? view.strides[axis] * step : 0;
  }
  return view;
}

CAMEO_DEFINE_OP(Slice) = {
    .name = "Slice",
    .max_inputs = 5,
    .input_types = {kAllTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<SliceAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
