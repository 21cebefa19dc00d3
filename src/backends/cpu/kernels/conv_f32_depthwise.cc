// Convolution of float32 with as many groups as there are channels, or with groups of a few channels, over channels-last
// images: vectors of channels, no product of matrices.
//   conv_f32_depthwise   one input and one output channel a group
//   conv_f32_grouped     2, 4, 8 or 16 of both
// The weights lie as [taps][channels of a group][channels], the last padded with zeros to a multiple of 16.
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

int64_t padded_channels(const ConvProblem& p) { return (p.all_out_channels() + kPanelWidth - 1) / kPanelWidth * kPanelWidth; }
int64_t packed_elements(const ConvProblem& p) { return p.taps() * p.in_channels * padded_channels(p); }

Status check_depthwise(const ConvProblem& p) { return p.is_depthwise() ? Status{} : refuse("the groups have more than one channel"); }
Status check_grouped(const ConvProblem& p) {
  if (p.group == 1) return refuse("there is one group");
  if (p.in_channels != p.out_channels) return refuse("the groups have other numbers of inputs and outputs");
  const int64_t n = p.in_channels;
  return n == 2 || n == 4 || n == 8 || n == 16 ? Status{} : refuse("the groups have not 2, 4, 8 or 16 channels");
}

template <Status (*Check)(const ConvProblem&)>
Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  return Check(p);
}

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  ConvProblem p;
  CAMEO_TRY(cpu::check_conv(node, facts, &p));
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {packed_elements(p)}));
  const float* from = cpu::conv_weights(node, facts).data<float>();
  for (int64_t m = 0; m < p.all_out_channels(); ++m)
    for (int64_t c = 0; c < p.in_channels; ++c)
      for (int64_t t = 0; t < p.taps(); ++t) packed.data<float>()[(t * p.in_channels + c) * padded_channels(p) + m] = *from++;
  return std::vector<Tensor>{std::move(packed)};
}

template <Status (*Check)(const ConvProblem&)>
Status convolve(ops::KernelContext& c, const ConvProblem& p, const float* packed) {
  CAMEO_TRY(Check(p));
  const int64_t channels = p.all_out_channels(), threads = c.threads().size();
  const int64_t products = p.rows() * channels * p.taps() * p.in_channels;
  const auto run_rows = p.is_depthwise() ? cpu::depthwise_f32_kernels().run : cpu::grouped_f32_kernels().run;
  // A task is a run of the rows' vectors of channels, row after row: a thread then reads and writes what it wrote and reads in
  // the nodes around, but for the edges.
  const int64_t vectors = padded_channels(p) / kPanelWidth, rows = p.batch * p.out_height, units = rows * vectors;
  const int64_t strips = std::clamp<int64_t>(rows / threads / (2 * p.kernel_height), 1, 4);
  const int64_t tasks = products < 2 * kTaskProducts ? 1 : std::min(threads * strips, units);
  const int64_t in_size = p.in_height * p.in_width * channels, out_size = p.out_height * p.out_width * channels;
  // Some rows of one image, vectors [begin, end) of their channels.
  const auto run_block = [&](int64_t image, int64_t first_row, int64_t last_row, int64_t begin, int64_t end) {
    const int64_t first = begin * kPanelWidth;
    cpu::TileEpilogue e = p.epilogue;
    if (e.bias != nullptr) e.bias += first;
    if (e.residual != nullptr) e.residual += image * out_size + first;
    run_rows({.x = p.x + image * in_size + first,
              .w = packed + first,
              .y = p.y + image * out_size + first,
              .channels = std::min(end * kPanelWidth, channels) - first,
              .pixel_step = channels,
              .weight_step = padded_channels(p),
              .group_channels = p.in_channels,
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
              .first_row = first_row,
              .last_row = last_row,
              .epilogue = e});
  };
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for(tasks, [&](int64_t task, int) {
    const int64_t last = units * (task + 1) / tasks;
    for (int64_t unit = units * task / tasks; unit < last;) {
      const int64_t image = unit / vectors / p.out_height, row = unit / vectors % p.out_height, begin = unit % vectors;
      const int64_t whole = begin > 0 ? 0 : std::min((last - unit) / vectors, p.out_height - row);
      const int64_t end = whole > 0 ? vectors : std::min(vectors, begin + last - unit);
      run_block(image, row, row + std::max<int64_t>(whole, 1), begin, end);
      unit += whole > 0 ? whole * vectors : end - begin;
    }
  });
  return {};
}

template <Status (*Check)(const ConvProblem&)>
Status run(ops::KernelContext& c) {
  return cpu::run_conv(c, &packed_elements, &convolve<Check>);
}

template <Status (*Check)(const ConvProblem&)>
constexpr Tactic make_tactic(std::string_view name, std::string_view domain) {
  return {.name = name,
          .op = "Conv",
          .domain = domain,
          .supports = &supports<Check>,
          .prepack = &prepack,
          .packed_inputs = 2,
          .run = &run<Check>};
}

}  // namespace

CAMEO_DEFINE_TACTIC(conv_f32_depthwise) = make_tactic<check_depthwise>("conv_f32_depthwise", ops::kCameoDomain);
CAMEO_DEFINE_TACTIC(conv_f32_depthwise_onnx) = make_tactic<check_depthwise>("conv_f32_depthwise_onnx", "");
CAMEO_DEFINE_TACTIC(conv_f32_grouped) = make_tactic<check_grouped>("conv_f32_grouped", ops::kCameoDomain);
CAMEO_DEFINE_TACTIC(conv_f32_grouped_onnx) = make_tactic<check_grouped>("conv_f32_grouped_onnx", "");

}  // namespace cameo::tactics
