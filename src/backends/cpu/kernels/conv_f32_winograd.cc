// Winograd's convolution of float32 by 3 x 3 windows with stride 1 (winograd_f32.h):
//   conv_f32_winograd4   tiles of 4 x 4 outputs, 36 products of matrices: a quarter of the multiplications
//   conv_f32_winograd2   tiles of 2 x 2 outputs, 16 products: 4/9 of them, for small images and tighter rounding
// The weights are transformed when they are packed, into panels [(M + 2)^2][ceil(N / 16)][C][16].
//
// Where the transformed weights are few, a task takes some tiles through all three steps. Else threads would read too much from
// far away: the input is transformed first, by all threads, and then each takes some of the output channels.
#include <algorithm>

#include "backends/cpu/kernels/conv_f32.h"
#include "backends/cpu/kernels/winograd_f32.h"
#include "backends/cpu/kernels/worker_scratch.h"
#include "base/thread_pool.h"
#include "ops/cameo_pointwise.h"

namespace cameo::tactics {
namespace {

using cpu::ConvProblem;
using cpu::kPanelWidth;

constexpr int64_t kCachedWeights = 640 << 10;  // floats of transformed weights that a task reads whole
constexpr int64_t kCachedTiles = 256 << 10;    // floats of transformed tiles of a task
constexpr int64_t kSharedTiles = 64;           // whose transformed input threads share

int64_t panels_of(int64_t columns) { return (columns + kPanelWidth - 1) / kPanelWidth; }
template <int M>
constexpr int64_t kElements = (M + 2) * (M + 2);
template <int M>
int64_t packed_elements(const ConvProblem& p) {
  return kElements<M> * panels_of(p.out_channels) * p.in_channels * kPanelWidth;
}

Status check(const ConvProblem& p) {
  if (p.kernel_height != 3 || p.kernel_width != 3) return refuse("the window is not 3 x 3");
  if (p.stride_height != 1 || p.stride_width != 1) return refuse("the stride is not 1");
  if (p.dilation_height != 1 || p.dilation_width != 1) return refuse("the window is dilated");
  if (p.group != 1) return refuse("the convolution has groups");
  return {};
}

template <int M>
Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  CAMEO_TRY(check(p));
  if (p.in_channels < 12 || p.out_channels < 12) return refuse("with few channels the transforms cost more than they save");
  // Extents that are not known count as large.
  const auto tiles = [](int64_t extent) { return extent > 0 ? (extent + M - 1) / M : 64; };
  if (std::max<int64_t>(p.batch, 1) * tiles(p.out_height) * tiles(p.out_width) < 12)
    return refuse("there are so few tiles that reading the transformed weights costs more than they save");
  return {};
}

// G of the transform: row i of `g`.
template <int M>
void weight_row(int i, double (&g)[3]) {
  constexpr double kA = cpu::kWinogradA, kB = cpu::kWinogradB;
  if (i == M + 1) {
    g[0] = g[1] = 0;
    g[2] = 1;
    return;
  }
  constexpr double kPoints4[] = {0, kA, -kA, kB, -kB}, kPoints2[] = {0, 1, -1};
  const double* points = M == 4 ? kPoints4 : kPoints2;
  double product = 1;
  for (int j = 0; j <= M; ++j)
    if (j != i) product *= points[i] - points[j];
  g[0] = 1 / product;
  g[1] = points[i] / product;
  g[2] = points[i] * points[i] / product;
}

template <int M>
Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  constexpr int kSize = M + 2;
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {packed_elements<M>(p)}));
  double g[kSize][3];
  for (int i = 0; i < kSize; ++i) weight_row<M>(i, g[i]);
  const float* from = cpu::conv_weights(node, facts).data<float>();
  float* to = packed.data<float>();
  const int64_t step = panels_of(p.out_channels) * p.in_channels * kPanelWidth;
  for (int64_t n = 0; n < p.out_channels; ++n)
    for (int64_t c = 0; c < p.in_channels; ++c, from += 9) {
      float* at = to + (n / kPanelWidth * p.in_channels + c) * kPanelWidth + n % kPanelWidth;
      double half[kSize][3];
      for (int i = 0; i < kSize; ++i)
        for (int k = 0; k < 3; ++k) half[i][k] = g[i][0] * from[k] + g[i][1] * from[3 + k] + g[i][2] * from[6 + k];
      for (int i = 0; i < kSize; ++i)
        for (int j = 0; j < kSize; ++j, at += step)
          *at = static_cast<float>(half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2]);
    }
  return std::vector<Tensor>{std::move(packed)};
}

template <int M>
class Convolution {
 public:
  Convolution(const ConvProblem& p, const float* packed)
      : p_(p), packed_(packed), across_((p.out_width + M - 1) / M), down_((p.out_height + M - 1) / M), all_(p.batch * across_ * down_) {
    panels_ = panels_of(p.out_channels);
    stride_v_ = panels_of(p.in_channels) * kPanelWidth;
    if (stride_v_ % 512 == 0) stride_v_ += kPanelWidth;
  }

  Status run(ops::KernelContext& c) {
    CAMEO_TRY(check(p_));
    return kElements<M> * panels_ * p_.in_channels * kPanelWidth <= kCachedWeights ? run_by_tiles(c) : run_by_columns(c);
  }

 private:
  static int64_t step_of(int64_t tiles, int64_t stride) {
    // The elements of a tile must not compete for the same lines of a cache.
    const int64_t step = tiles * stride;
    return step % 256 == 0 ? step + kPanelWidth : step;
  }

  void transform_input(int64_t first, int64_t count, int64_t channel, int64_t channels, float* v, int64_t step) const {
    const cpu::WinogradInput in = {.tiles = {first, count, across_, down_},
                                   .x = p_.x + channel,
                                   .pixel_step = p_.in_channels,
                                   .channels = channels,
                                   .height = p_.in_height,
                                   .width = p_.in_width,
                                   .pad_top = p_.pad_top,
                                   .pad_left = p_.pad_left,
                                   .v = v + channel,
                                   .step = step,
                                   .stride = stride_v_};
    (M == 4 ? cpu::winograd_f32_kernels().input4 : cpu::winograd_f32_kernels().input2)(in);
  }

  // The products and the transform of the output for tiles whose input is in v, and some panels of output channels.
  void multiply(int64_t first, int64_t count, const float* v, int64_t step_v, int64_t panel, int64_t panels, float* m) const {
    const int64_t column = panel * kPanelWidth, columns = std::min(panels * kPanelWidth, p_.out_channels - column);
    const int64_t stride = panels * kPanelWidth, step = step_of(count, stride);
    for (int64_t i = 0; i < kElements<M>; ++i)
      cpu::panel_gemm_kernels().multiply(
          {.a = v + i * step_v,
           .lda = stride_v_,
           .b = packed_ + (i * panels_ + panel) * p_.in_channels * kPanelWidth,
           .panel_step = p_.in_channels * kPanelWidth,
           .c = m + i * step,
           .ldc = stride,
           .rows = count,
           .columns = panels * kPanelWidth,
           .depth = p_.in_channels,
           .next_b = i + 1 < kElements<M> ? packed_ + ((i + 1) * panels_ + panel) * p_.in_channels * kPanelWidth : nullptr});
    cpu::TileEpilogue e = p_.epilogue;
    if (e.bias != nullptr) e.bias += column;
    if (e.residual != nullptr) e.residual += column;
    const cpu::WinogradOutput out = {.tiles = {first, count, across_, down_},
                                     .m = m,
                                     .step = step,
                                     .stride = stride,
                                     .y = p_.y + column,
                                     .pixel_step = p_.out_channels,
                                     .channels = columns,
                                     .height = p_.out_height,
                                     .width = p_.out_width,
                                     .epilogue = e};
    (M == 4 ? cpu::winograd_f32_kernels().output4 : cpu::winograd_f32_kernels().output2)(out);
  }

  Status run_by_tiles(ops::KernelContext& c) const {
    const int64_t threads = c.threads().size();
    const int64_t per_tile = kElements<M> * (stride_v_ + panels_ * kPanelWidth);
    int64_t tiles = std::clamp<int64_t>(kCachedTiles / per_tile, 1, all_);
    tiles = std::min(tiles, (all_ + threads - 1) / threads);
    // As many tasks for each thread, as even as can be.
    int64_t tasks = ((all_ + tiles - 1) / tiles + threads - 1) / threads * threads;
    tiles = (all_ + tasks - 1) / tasks;
    tasks = (all_ + tiles - 1) / tiles;
    const int64_t step_v = step_of(tiles, stride_v_), size_v = kElements<M> * step_v;
    const int64_t size = size_v + kElements<M> * step_of(tiles, panels_ * kPanelWidth);
    const cpu::WorkerScratch scratch(c, size);
    CAMEO_TRY(c.check_cancelled());
    c.threads().parallel_for(tasks, [&](int64_t task, int worker) {
      float* v = scratch.of(worker);
      const int64_t first = task * tiles, count = std::min(tiles, all_ - first);
      transform_input(first, count, 0, p_.in_channels, v, step_v);
      multiply(first, count, v, step_v, 0, panels_, v + size_v);
    });
    return {};
  }

  Status run_by_columns(ops::KernelContext& c) const {
    const int64_t threads = c.threads().size();
    const int64_t chunks = (all_ + kSharedTiles - 1) / kSharedTiles, tiles = (all_ + chunks - 1) / chunks;
    const int64_t step_v = step_of(tiles, stride_v_);
    float* v = c.scratch<float>(kElements<M> * step_v).data();
    // Few panels at a time, so that their products stay in the second cache, but as many slabs for each thread.
    int64_t width = std::clamp<int64_t>(kCachedTiles / (kElements<M> * tiles * kPanelWidth), 2, panels_);
    int64_t slabs = std::max<int64_t>(1, (panels_ + width - 1) / width);
    slabs = std::min(panels_, (slabs + threads - 1) / threads * threads);
    width = (panels_ + slabs - 1) / slabs;
    slabs = (panels_ + width - 1) / width;
    const int64_t size_m = kElements<M> * step_of(tiles, width * kPanelWidth);
    const cpu::WorkerScratch m(c, size_m);
    for (int64_t first = 0; first < all_; first += tiles) {
      const int64_t count = std::min(tiles, all_ - first);
      CAMEO_TRY(c.check_cancelled());
      const int64_t blocks = std::min<int64_t>(panels_of(p_.in_channels), 4 * threads);
      const int64_t channels = (panels_of(p_.in_channels) + blocks - 1) / blocks * kPanelWidth;
      c.threads().parallel_for(blocks, [&](int64_t task, int) {
        const int64_t channel = task * channels;
        if (channel < p_.in_channels) transform_input(first, count, channel, std::min(channels, p_.in_channels - channel), v, step_v);
      });
      c.threads().parallel_for(slabs, [&](int64_t task, int worker) {
        const int64_t panel = task * width;
        multiply(first, count, v, step_v, panel, std::min(width, panels_ - panel), m.of(worker));
      });
    }
    return {};
  }

  const ConvProblem& p_;
  const float* packed_;
  int64_t across_, down_, all_;  // tiles
  int64_t panels_;               // of output channels
  int64_t stride_v_;             // floats from one tile to the next in the transformed input
};

template <int M>
Status convolve(ops::KernelContext& c, const ConvProblem& p, const float* packed) {
  return Convolution<M>(p, packed).run(c);
}
template <int M>
Status run(ops::KernelContext& c) {
  return cpu::run_conv(c, &packed_elements<M>, &convolve<M>);
}

}  // namespace

CAMEO_DEFINE_TACTIC(conv_f32_winograd4) = {
    .name = "conv_f32_winograd4",
    .op = "Conv",
    .domain = ops::kCameoDomain,
    .supports = &supports<4>,
    .prepack = &prepack<4>,
    .packed_inputs = 2,
    .run = &run<4>,
};
CAMEO_DEFINE_TACTIC(conv_f32_winograd2) = {
    .name = "conv_f32_winograd2",
    .op = "Conv",
    .domain = ops::kCameoDomain,
    .supports = &supports<2>,
    .prepack = &prepack<2>,
    .packed_inputs = 2,
    .run = &run<2>,
};

}  // namespace cameo::tactics
