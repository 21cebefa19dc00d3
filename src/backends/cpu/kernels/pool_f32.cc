// Pools over channels-last images with one or two spatial axes, on vectors of channels: ai.cameo.AveragePool of float32, and
// ai.cameo.MaxPool also of bytes. Rows of the output are shared by the threads.
#include <algorithm>

#include "backends/cpu/kernels/pool_f32.h"
#include "backends/cpu/kernels/tasks.h"
#include "base/thread_pool.h"
#include "ops/cameo_pool.h"
#include "ops/channels_last.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

constexpr int64_t kTaskElements = 16 << 10;  // that are read, to make a task worth its start

Status supports_axes(const ir::Type& x) {
  if (!x.shape || x.shape->size() < 3 || x.shape->size() > 4) return refuse("the input has not one or two spatial axes");
  return {};
}
Status supports_floats(const ir::Node& node, std::span<const ops::Fact> facts) {
  const ir::Type& x = facts[node.inputs[0]].type;
  return x.dtype == DType::kFloat32 ? supports_axes(x) : refuse("the input is not float32");
}
Status supports_bytes(const ir::Node& node, std::span<const ops::Fact> facts) {
  const ir::Type& x = facts[node.inputs[0]].type;
  return x.dtype == DType::kUint8 || x.dtype == DType::kInt8 ? supports_axes(x) : refuse("the input is not of bytes");
}

template <class Attrs, bool IsMean, class T>
Status run_pool(ops::KernelContext& c) {
  const auto& attrs = c.attrs<Attrs>();
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const size_t rank = x.rank();
  if (x.dtype() != dtype_of<T>() || y.dtype() != x.dtype() || rank < 3 || rank > 4 || y.rank() != rank || y.dim(0) != x.dim(0) ||
      y.dim(rank - 1) != x.dim(rank - 1))
    return error(ErrorCode::kInvalidInput, "this pool is of another type, or not over one or two axes");
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
  const int64_t tasks = cpu::even_tasks(rows * out_width * channels * down.kernel * across.kernel / kTaskElements, threads);
  // A task's rows lie in one image.
  const int64_t strips = std::min(out_height, (tasks + in[0] - 1) / in[0]), height = (out_height + strips - 1) / strips;
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for(in[0] * strips, [&](int64_t task, int) {
    const int64_t image = task / strips, row = task % strips * height;
    if (row >= out_height) return;
    const cpu::PoolRows<T> p = {.x = x.data<T>() + image * in_height * in_width * channels,
                                .y = y.data<T>() + image * out_height * out_width * channels,
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
    const auto& kernels = cpu::pool_f32_kernels();
    if constexpr (std::is_same_v<T, uint8_t>)
      kernels.max_u8(p);
    else if constexpr (std::is_same_v<T, int8_t>)
      kernels.max_s8(p);
    else
      (IsMean ? kernels.mean : kernels.max)(p);
  });
  return {};
}

Status run_bytes(ops::KernelContext& c) {
  return c.input(0).dtype() == DType::kUint8 ? run_pool<ops::CameoMaxPoolAttrs, false, uint8_t>(c)
                                             : run_pool<ops::CameoMaxPoolAttrs, false, int8_t>(c);
}

}  // namespace

CAMEO_DEFINE_TACTIC(max_pool_f32) = {
    .name = "max_pool_f32",
    .op = "MaxPool",
    .domain = ops::kCameoDomain,
    .supports = &supports_floats,
    .run = &run_pool<ops::CameoMaxPoolAttrs, false, float>,
};
CAMEO_DEFINE_TACTIC(max_pool_8bit) = {
    .name = "max_pool_8bit",
    .op = "MaxPool",
    .domain = ops::kCameoDomain,
    .supports = &supports_bytes,
    .run = &run_bytes,
};
CAMEO_DEFINE_TACTIC(average_pool_f32) = {
    .name = "average_pool_f32",
    .op = "AveragePool",
    .domain = ops::kCameoDomain,
    .supports = &supports_floats,
    .run = &run_pool<ops::CameoAveragePoolAttrs, true, float>,
};

}  // namespace cameo::tactics
