// Depthwise convolution of float32, one output channel for each input channel, over channels-last images: vectors of
// channels, no product of matrices. The weights lie as [taps][channels], the channels padded with zeros to a multiple of 16.
//
// A task is a strip of rows for some channels: few channels at a time, so that the input rows that neighbouring output rows
// share stay in the first cache.
#include <algorithm>

#include "backends/cpu/kernels/conv_f32.h"
#include "backends/cpu/kernels/depthwise_f32.h"
#include "base/thread_pool.h"
#include "ops/cameo_pointwise.h"

namespace cameo::tactics {
namespace {

using cpu::ConvProblem;
using cpu::kPanelWidth;

constexpr int64_t kTaskProducts = 64 << 10;  // multiplications that make a task worth its start

int64_t padded_channels(const ConvProblem& p) { return (p.group + kPanelWidth - 1) / kPanelWidth * kPanelWidth; }
int64_t packed_elements(const ConvProblem& p) { return p.taps() * padded_channels(p); }

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  if (!p.is_depthwise()) return refuse("the groups have more than one channel");
  return {};
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {packed_elements(p)}));
  const float* from = cpu::conv_weights(node, facts).data<float>();
  for (int64_t c = 0; c < p.group; ++c)
    for (int64_t t = 0; t < p.taps(); ++t) packed.data<float>()[t * padded_channels(p) + c] = *from++;
  return std::vector<Tensor>{std::move(packed)};
}

Status convolve(ops::KernelContext& c, const ConvProblem& p, const float* packed) {
  // A run that is altered could ask for one; every depthwise problem has groups of one.
  if (!p.is_depthwise()) return error(ErrorCode::kInvalidPlan, "the groups of a depthwise convolution have more than one channel");
  const int64_t channels = p.group, threads = c.threads().size();
  const int64_t products = p.rows() * channels * p.taps();
  const int64_t tasks = std::clamp<int64_t>(products / kTaskProducts, 1, 4 * threads);
  // Strips of rows first, while they are much higher than what neighbours share; then blocks of channels.
  const int64_t strips = std::clamp<int64_t>(p.out_height / (4 * ((p.kernel_height - 1) * p.dilation_height + 1)), 1, tasks);
  const int64_t vectors = padded_channels(p) / kPanelWidth;
  const int64_t blocks = std::clamp<int64_t>((tasks + p.batch * strips - 1) / (p.batch * strips), 1, vectors);
  const int64_t rows = (p.out_height + strips - 1) / strips, width = (vectors + blocks - 1) / blocks * kPanelWidth;
  const int64_t in_size = p.in_height * p.in_width * channels, out_size = p.out_height * p.out_width * channels;
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for(p.batch * strips * blocks, [&](int64_t task, int) {
    const int64_t first = task % blocks * width, image = task / blocks / strips, row = task / blocks % strips * rows;
    if (first >= channels || row >= p.out_height) return;
    cpu::TileEpilogue e = p.epilogue;
    if (e.bias != nullptr) e.bias += first;
    if (e.residual != nullptr) e.residual += image * out_size + first;
    cpu::depthwise_f32_kernels().run({.x = p.x + image * in_size + first,
                                      .w = packed + first,
                                      .y = p.y + image * out_size + first,
                                      .channels = std::min(width, channels - first),
                                      .pixel_step = channels,
                                      .weight_step = padded_channels(p),
                                      .in_height = p.in_height,
                                      .in_width = p.in_width,
                                      .out_width = p.out_width,
                                      .kernel_height = p.kernel_height,
                                      .kernel_width = p.kernel_width,
                                      .stride_height = p.stride_height,
                                      .stride_width = p.stride_width,
                                      .dilation_height = p.dilation_height,
                                      .dilation_width = p.dilation_width,
                                      .pad_top = p.pad_top,
                                      .pad_left = p.pad_left,
                                      .first_row = row,
                                      .last_row = std::min(p.out_height, row + rows),
                                      .epilogue = e});
  });
  return {};
}

Status run(ops::KernelContext& c) { return cpu::run_conv(c, &packed_elements, &convolve); }

}  // namespace

CAMEO_DEFINE_TACTIC(conv_f32_depthwise) = {
    .name = "conv_f32_depthwise",
    .op = "Conv",
    .domain = ops::kCameoDomain,
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 2,
    .run = &run,
};
CAMEO_DEFINE_TACTIC(conv_f32_depthwise_onnx) = {
    .name = "conv_f32_depthwise_onnx",
    .op = "Conv",
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 2,
    .run = &run,
};

}  // namespace cameo::tactics
