// Operators that move elements without looking at them, by strided_copy: Transpose, Slice, Concat, Split, Expand; and Gather
// of rows. Any type but string.
#include "ops/move.h"
#include "backends/cpu/kernels/axes.h"
#include "backends/cpu/kernels/strided_copy.h"
#include "base/thread_pool.h"
#include "ops/move_attrs.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  for (ir::ValueId id : node.inputs) {
    if (id == ir::kNoValue) continue;
    const ir::Type& type = facts[id].type;
    if (!type.is_tensor() || type.dtype == DType::kUndefined || type.dtype == DType::kString)
      return refuse("an input is no tensor of numbers");
    if (!type.shape || type.shape->size() > Dims::kInline) return refuse("the rank of an input is not known, or above 8");
  }
  return {};
}

// Whether what supports() said holds still.
bool fits(ops::KernelContext& c) {
  for (size_t i = 0; i < c.num_inputs(); ++i)
    if (c.has_input(i) && (c.input(i).dtype() == DType::kString || c.input(i).rank() > Dims::kInline)) return false;
  return true;
}

void copy(ops::KernelContext& c, DType type, const Dims& dims, const void* from, const Dims& from_strides, void* to,
          const Dims& to_strides) {
  cpu::copy_strided(c.threads(), static_cast<int64_t>(dtype_size(type)), dims, from, from_strides, to, to_strides);
}

Status run_transpose(ops::KernelContext& c) {
  const auto& perm = c.attrs<ops::TransposeAttrs>().perm;
  const Tensor& x = c.input(0);
  if (!fits(c) || (perm && perm->size() != x.rank())) return c.node().op->reference(c);
  const Dims strides = ops::strides_of(x.dims());
  Dims from(x.rank(), 0);
  for (size_t i = 0; i < x.rank(); ++i) from[i] = strides[perm ? static_cast<size_t>((*perm)[i]) : x.rank() - 1 - i];
  const Tensor& y = c.output(0);
  copy(c, x.dtype(), y.dims(), x.raw(), from, y.raw(), ops::strides_of(y.dims()));
  return {};
}

Status run_slice(ops::KernelContext& c) {
  if (!fits(c)) return c.node().op->reference(c);
  CAMEO_ASSIGN(const ops::SliceView view, ops::slice_view(c));
  const Tensor &x = c.input(0), &y = c.output(0);
  if (y.num_elements() > 0) copy(c, x.dtype(), y.dims(), ops::address(x, view.offset), view.strides, y.raw(), ops::strides_of(y.dims()));
  return {};
}

Status run_concat(ops::KernelContext& c) {
  const Tensor& y = c.output(0);
  if (!fits(c)) return c.node().op->reference(c);
  if (y.num_elements() == 0) return {};
  CAMEO_ASSIGN(const size_t axis, ops::normalize_axis(c.attrs<ops::ConcatAttrs>().axis.value_or(1), y.rank()));
  const int64_t outer = ops::product(y.dims(), 0, axis), row = ops::product(y.dims(), axis, y.rank());
  int64_t offset = 0;
  for (size_t i = 0; i < c.num_inputs(); ++i) {
    const Tensor& x = c.input(i);
    const int64_t block = ops::product(x.dims(), axis, x.rank());
    copy(c, y.dtype(), {outer, block}, x.raw(), {block, 1}, ops::address(y, offset), {row, 1});
    offset += block;
  }
  return {};
}

Status run_split(ops::KernelContext& c) {
  const Tensor& x = c.input(0);
  bool all = fits(c);
  for (size_t i = 0; i < c.num_outputs(); ++i) all &= c.has_output(i);
  if (!all) return c.node().op->reference(c);
  if (x.num_elements() == 0) return {};
  CAMEO_ASSIGN(const size_t axis, ops::normalize_axis(c.attrs<ops::SplitAttrs>().axis, x.rank()));
  const int64_t outer = ops::product(x.dims(), 0, axis), inner = ops::product(x.dims(), axis + 1, x.rank()), row = x.dim(axis) * inner;
  int64_t offset = 0;
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    const Tensor& y = c.output(i);
    const int64_t block = y.dim(axis) * inner;
    copy(c, x.dtype(), {outer, block}, ops::address(x, offset), {row, 1}, y.raw(), {block, 1});
    offset += block;
  }
  return {};
}

Status run_expand(ops::KernelContext& c) {
  const Tensor &x = c.input(0), &y = c.output(0);
  if (!fits(c) || y.rank() > Dims::kInline) return c.node().op->reference(c);
  copy(c, x.dtype(), y.dims(), x.raw(), ops::broadcast_strides(x.dims(), y.dims()), y.raw(), ops::strides_of(y.dims()));
  return {};
}

// Rows of at least 64 bytes are copied one by one; shorter ones are the reference's work.
Status run_gather(ops::KernelContext& c) {
  const Tensor &x = c.input(0), &indices = c.input(1), &y = c.output(0);
  if (!fits(c)) return c.node().op->reference(c);
  CAMEO_ASSIGN(const size_t axis, ops::normalize_axis(c.attrs<ops::GatherAttrs>().axis, x.rank()));
  const int64_t outer = ops::product(x.dims(), 0, axis), inner = ops::product(x.dims(), axis + 1, x.rank());
  const int64_t bytes = inner * static_cast<int64_t>(dtype_size(x.dtype())), count = indices.num_elements();
  if (bytes < 64) return c.node().op->reference(c);
  const auto at = c.scratch<int64_t>(count);
  CAMEO_TRY(ops::read_indices(indices, x.dim(axis), at));
  const auto* from = static_cast<const unsigned char*>(x.raw());
  auto* to = static_cast<unsigned char*>(y.raw());
  const int64_t rows = outer * count, extent = x.dim(axis);
  const auto copy_rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      cpu::copy_kernels().rows(from + (r / count * extent + at[static_cast<size_t>(r % count)]) * bytes, 0, to + r * bytes, 0, 1, bytes);
  };
  const int64_t tasks = std::min({rows, rows * bytes / (16 * 1024), int64_t{c.threads().size()} * 4});
  if (tasks < 2 || c.threads().size() == 1)
    copy_rows(0, rows);
  else
    c.threads().parallel_for(tasks, [&](int64_t task, int) { copy_rows(rows * task / tasks, rows * (task + 1) / tasks); });
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(transpose_copy) = {.name = "transpose_copy", .op = "Transpose", .supports = &supports, .run = &run_transpose};
CAMEO_DEFINE_TACTIC(slice_copy) = {.name = "slice_copy", .op = "Slice", .supports = &supports, .run = &run_slice};
CAMEO_DEFINE_TACTIC(concat_copy) = {.name = "concat_copy", .op = "Concat", .supports = &supports, .run = &run_concat};
CAMEO_DEFINE_TACTIC(split_copy) = {.name = "split_copy", .op = "Split", .supports = &supports, .run = &run_split};
CAMEO_DEFINE_TACTIC(expand_copy) = {.name = "expand_copy", .op = "Expand", .supports = &supports, .run = &run_expand};
CAMEO_DEFINE_TACTIC(gather_copy) = {.name = "gather_copy", .op = "Gather", .supports = &supports, .run = &run_gather};

}  // namespace cameo::tactics
