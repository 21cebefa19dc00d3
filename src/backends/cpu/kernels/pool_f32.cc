// Pools of float32 over channels-last images with one or two spatial axes, on vectors of channels:
//   max_pool_f32, average_pool_f32   ai.cameo.MaxPool and AveragePool; rows of the output are shared by the threads
//   reduce_mean_f32_pixels           ReduceMean over neighbouring axes before the last: the global average pool of these
//                                    images. Sums are made in float, in runs of 64.
#include <algorithm>

#include "backends/cpu/kernels/pool_f32.h"
#include "base/thread_pool.h"
#include "ops/cameo_pool.h"
#include "ops/channels_last.h"
#include "ops/reduce.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

constexpr int64_t kTaskElements = 16 << 10;  // that are read, to make a task worth its start

Status supports_pool(const ir::Node& node, std::span<const ops::Fact> facts) {
  const ir::Type& x = facts[node.inputs[0]].type;
  if (x.dtype != DType::kFloat32) return refuse("the input is not float32");
  if (!x.shape || x.shape->size() < 3 || x.shape->size() > 4) return refuse("the input has not one or two spatial axes");
  return {};
}

template <class Attrs, bool IsMean>
Status run_pool(ops::KernelContext& c) {
  const auto& attrs = c.attrs<Attrs>();
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const size_t rank = x.rank();
  if (x.dtype() != DType::kFloat32 || y.dtype() != DType::kFloat32 || rank < 3 || rank > 4 || y.rank() != rank || y.dim(0) != x.dim(0) ||
      y.dim(rank - 1) != x.dim(rank - 1))
    return error(ErrorCode::kInvalidInput, "this pool is not of float32 over one or two axes");
  const Dims in = ops::channels_first(x.dims()), out = ops::channels_first(y.dims());
  CAMEO_ASSIGN(const ops::Window window, ops::make_window(attrs, in, out));
  for (size_t a = 0; a < window.rank; ++a) {
    CAMEO_ASSIGN(const ir::Dim extent, window.output_extent(a, in[a + 2]));
    if (!extent.is(out[a + 2])) return error(ErrorCode::kInvalidInput, "input and output of a pool do not fit together");
  }
  if (y.num_elements() == 0) return {};
  const ops::WindowAxis none, &down = rank == 4 ? window.axes[0] : none, &across = window.axes[window.rank - 1];
  const int64_t in_height = rank == 4 ? in[2] : 1, out_height = rank == 4 ? out[2] : 1;
  const int64_t in_width = in[rank - 1], out_width = out[rank - 1], channels = in[1];
  float* counts = nullptr;
  if constexpr (IsMean) {
    counts = c.scratch<float>(out_height + out_width).data();
    const bool padding = attrs.count_include_pad != 0;
    for (int64_t o = 0; o < out_height; ++o)
      counts[o] = rank == 4 ? static_cast<float>(ops::counted_taps(down, o, in_height, padding)) : 1.f;
    for (int64_t o = 0; o < out_width; ++o) counts[out_height + o] = static_cast<float>(ops::counted_taps(across, o, in_width, padding));
  }
  const int64_t threads = c.threads().size(), rows = in[0] * out_height;
  const int64_t tasks = std::clamp<int64_t>(rows * out_width * channels * down.kernel * across.kernel / kTaskElements, 1, 4 * threads);
  // A task's rows lie in one image.
  const int64_t strips = std::min(out_height, (tasks + in[0] - 1) / in[0]), height = (out_height + strips - 1) / strips;
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for(in[0] * strips, [&](int64_t task, int) {
    const int64_t image = task / strips, row = task % strips * height;
    if (row >= out_height) return;
    const cpu::PoolRows p = {.x = x.data<float>() + image * in_height * in_width * channels,
                             .y = y.data<float>() + image * out_height * out_width * channels,
                             .channels = channels,
                             .in_height = in_height,
                             .in_width = in_width,
                             .out_width = out_width,
                             .kernel_height = down.kernel,
                             .kernel_width = across.kernel,
                             .stride_height = down.stride,
                             .stride_width = across.stride,
                             .dilation_height = down.dilation,
                             .dilation_width = across.dilation,
                             .pad_top = down.begin,
                             .pad_left = across.begin,
                             .first_row = row,
                             .last_row = std::min(out_height, row + height),
                             .row_counts = counts,
                             .column_counts = counts + (IsMean ? out_height : 0)};
    (IsMean ? cpu::pool_f32_kernels().mean : cpu::pool_f32_kernels().max)(p);
  });
  return {};
}

// The axes that are reduced, where they are known when the plan is built.
bool reduces_last_axis(const ir::Node& node, std::span<const ops::Fact> facts, size_t rank) {
  const auto& attrs = node.attrs_as<ops::ReduceAttrs>();
  std::vector<int64_t> axes;
  if (attrs.axes) {
    axes = *attrs.axes;
  } else if (node.inputs.size() > 1 && node.inputs[1] != ir::kNoValue) {
    const Tensor& list = facts[node.inputs[1]].constant;
    if (!list.defined() || list.raw() == nullptr || list.dtype() != DType::kInt64) return true;
    axes.assign(list.span<int64_t>().begin(), list.span<int64_t>().end());
  }
  if (axes.empty()) return true;
  return std::any_of(axes.begin(), axes.end(), [&](int64_t axis) { return axis == -1 || axis == static_cast<int64_t>(rank) - 1; });
}

Status supports_mean(const ir::Node& node, std::span<const ops::Fact> facts) {
  const ir::Type& x = facts[node.inputs[0]].type;
  if (x.dtype != DType::kFloat32) return refuse("the input is not float32");
  if (!x.shape || x.shape->size() < 2) return refuse("the input is not known to have two axes or more");
  if (reduces_last_axis(node, facts, x.shape->size())) return refuse("the last axis is reduced, or may be");
  return {};
}

Status run_mean(ops::KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  CAMEO_ASSIGN(const ops::ReducePlan plan, ops::plan_reduce(c));
  if (x.dtype() != DType::kFloat32 || y.dtype() != DType::kFloat32 || plan.run_reduced || plan.kept.rank() > 1 ||
      plan.reduced.rank() != 1 || plan.count == 0 || plan.reduced_strides[0] != plan.run || y.num_elements() == 0)
    return c.node().op->reference(c);
  const int64_t outer = plan.kept.rank() == 1 ? plan.kept[0] : 1, rows = plan.reduced[0], columns = plan.run;
  const int64_t outer_stride = plan.kept.rank() == 1 ? plan.kept_strides[0] : 0;
  if (y.num_elements() != outer * columns || plan.count != rows) return c.node().op->reference(c);
  // Long sums are cut at fixed places, so that the result does not depend on the number of threads.
  constexpr int64_t kPart = 1024;
  const int64_t parts = (rows + kPart - 1) / kPart, threads = c.threads().size();
  const int64_t tasks = std::clamp<int64_t>(x.num_elements() / kTaskElements, 1, 4 * threads);
  const int64_t blocks = std::clamp<int64_t>(tasks / (outer * parts), 1, (columns + 63) / 64);
  const int64_t width = ((columns + blocks - 1) / blocks + 63) / 64 * 64;
  float* sums = c.scratch<float>(outer * parts * columns).data();
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for(outer * parts * blocks, [&](int64_t task, int) {
    const int64_t first = task % blocks * width, part = task / blocks % parts, o = task / blocks / parts;
    if (first >= columns) return;
    cpu::pool_f32_kernels().sum_rows(x.data<float>() + o * outer_stride + part * kPart * columns + first, columns,
                                     std::min(kPart, rows - part * kPart), std::min(width, columns - first),
                                     sums + (o * parts + part) * columns + first);
  });
  const float divisor = static_cast<float>(rows);
  for (int64_t o = 0; o < outer; ++o) {
    float* to = y.data<float>() + o * columns;
    cpu::pool_f32_kernels().sum_rows(sums + o * parts * columns, columns, parts, columns, to);
    for (int64_t i = 0; i < columns; ++i) to[i] /= divisor;
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(max_pool_f32) = {
    .name = "max_pool_f32",
    .op = "MaxPool",
    .domain = ops::kCameoDomain,
    .supports = &supports_pool,
    .run = &run_pool<ops::CameoMaxPoolAttrs, false>,
};
CAMEO_DEFINE_TACTIC(average_pool_f32) = {
    .name = "average_pool_f32",
    .op = "AveragePool",
    .domain = ops::kCameoDomain,
    .supports = &supports_pool,
    .run = &run_pool<ops::CameoAveragePoolAttrs, true>,
};
CAMEO_DEFINE_TACTIC(reduce_mean_f32_pixels) = {
    .name = "reduce_mean_f32_pixels",
    .op = "ReduceMean",
    .supports = &supports_mean,
    .run = &run_mean,
};

}  // namespace cameo::tactics
