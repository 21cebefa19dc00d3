// ConvTranspose of float32 over one or two axes: a product gives what each input pixel adds to the output under each tap,
// [pixels][taps * channels], and each output pixel then gathers the sums that belong to it, so that threads never add to the
// same place. The weights lie in panels [group][ceil(taps * channels / 16)][C / group][16]. One image and group at a time.
#include <algorithm>

#include "backends/cpu/kernels/conv_f32.h"
#include "backends/cpu/kernels/resize_f32.h"
#include "base/thread_pool.h"
#include "ops/conv_transpose.h"

namespace cameo::tactics {
namespace {

using cpu::kPanelWidth;

constexpr int64_t kMaxWeights = int64_t{1} << 40;
constexpr int64_t kBlockRows = 112;
constexpr int64_t kTaskElements = 8 << 10;  // of the output, to make a task worth its start

int64_t panels_of(int64_t columns) { return (columns + kPanelWidth - 1) / kPanelWidth; }

Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  const ir::Type& x = facts[node.inputs[0]].type;
  const Tensor& w = facts[node.inputs[1]].constant;
  if (x.dtype != DType::kFloat32) return refuse("the input is not float32");
  if (!w.defined() || w.raw() == nullptr) return refuse("the weights are not constant");
  if (w.rank() < 3 || w.rank() > 4) return refuse("there are more than two spatial axes");
  if (w.num_elements() == 0) return refuse("the weights are empty");
  const int64_t group = node.attrs_as<ops::ConvTransposeAttrs>().group;
  if (group < 1 || w.dim(0) % group != 0) return refuse("the groups do not divide the channels");
  return {};
}

// Of weights [C, M / group, kernel...].
struct Extents {
  int64_t group, depth, columns;  // of a group: input channels; taps * output channels
  explicit Extents(int64_t g, const Dims& w) : group(g), depth(w[0] / g), columns(w.num_elements() / w[0]) {}
  int64_t group_elements() const { return panels_of(columns) * depth * kPanelWidth; }
};

Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  const Tensor& w = facts[node.inputs[1]].constant;
  const Extents e(node.attrs_as<ops::ConvTransposeAttrs>().group, w.dims());
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {e.group * e.group_elements()}));
  const int64_t channels = w.dim(1), taps = e.columns / channels;
  const float* from = w.data<float>();
  for (int64_t k = 0; k < w.dim(0); ++k)
    for (int64_t m = 0; m < channels; ++m)
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t column = t * channels + m;
        packed.data<float>()[k / e.depth * e.group_elements() + (column / kPanelWidth * e.depth + k % e.depth) * kPanelWidth +
                             column % kPanelWidth] = *from++;
      }
  return std::vector<Tensor>{std::move(packed)};
}

// The sums of one image and group; pixels of `to` lie `step` floats apart.
class Scatter {
 public:
  Scatter(const ops::ConvGeometry& g, const float* products) : g_(g), products_(products) {
    down_ = g.window.rank == 2 ? g.window.axes[0] : ops::WindowAxis{};
    across_ = g.window.axes[g.window.rank - 1];
    in_height_ = g.window.rank == 2 ? g.out[0] : 1;
    in_width_ = g.out[g.window.rank - 1];
    out_width_ = g.in[g.window.rank - 1];
  }

  // `indices` has room for as many as there are taps, and one; `ones` holds as many ones.
  void row(int64_t y, int64_t* indices, const float* ones, float* to, int64_t step) const {
    const int64_t bias_row = in_height_ * in_width_ * g_.taps;
    for (int64_t x = 0; x < out_width_; ++x) {
      int64_t count = 0;
      indices[count++] = bias_row;
      for (int64_t i = 0; i < down_.kernel; ++i) {
        const int64_t iy = y + down_.begin - i * down_.dilation;
        if (iy < 0 || iy % down_.stride != 0 || iy / down_.stride >= in_height_) continue;
        for (int64_t j = 0; j < across_.kernel; ++j) {
          const int64_t ix = x + across_.begin - j * across_.dilation;
          if (ix < 0 || ix % across_.stride != 0 || ix / across_.stride >= in_width_) continue;
          indices[count++] = (iy / down_.stride * in_width_ + ix / across_.stride) * g_.taps + i * across_.kernel + j;
        }
      }
      cpu::resize_f32_kernels().sum_rows(
          {.from = products_, .indices = indices, .weights = ones, .taps = count, .count = g_.in_channels, .to = to + x * step});
    }
  }

 private:
  const ops::ConvGeometry& g_;
  const float* products_;  // a row for each input pixel and tap, then the bias
  ops::WindowAxis down_, across_;
  int64_t in_height_, in_width_, out_width_;
};

Status run(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::ConvTransposeAttrs>();
  const Tensor &x = c.input(0), &w = c.input(1);
  Tensor& y = c.output(0);
  const size_t rank = w.rank();
  const bool fits = x.dtype() == DType::kFloat32 && w.dtype() == DType::kFloat32 && y.dtype() == DType::kFloat32 && rank >= 3 &&
                    rank <= 4 && x.rank() == rank && y.rank() == rank && attrs.group >= 1 && w.num_elements() > 0 &&
                    w.num_elements() <= kMaxWeights && x.dim(1) == w.dim(0) && w.dim(0) % attrs.group == 0 &&
                    y.dim(1) == w.dim(1) * attrs.group && x.dim(0) == y.dim(0) &&
                    (!c.has_input(2) || (c.input(2).dtype() == DType::kFloat32 && c.input(2).num_elements() == y.dim(1)));
  if (!fits) return error(ErrorCode::kInvalidInput, "input, weights and output of a transposed convolution do not fit together");
  const Extents e(attrs.group, w.dims());
  const std::vector<Tensor>& packed = c.node().packed;
  if (packed.size() != 1 || packed[0].dtype() != DType::kFloat32 || packed[0].num_elements() != e.group * e.group_elements())
    return error(ErrorCode::kInvalidPlan, "the packed weights of a transposed convolution do not have the size that it needs");
  if (y.num_elements() == 0) return {};
  CAMEO_ASSIGN(const ops::ConvGeometry g, ops::conv_transpose_geometry(attrs, x.dims(), w.dims(), y.dims()));
  const int64_t pixels = g.out_size, out_pixels = g.in_size, channels = g.in_channels;
  const int64_t in_step = x.dim(1), out_step = y.dim(1), out_width = g.in[g.window.rank - 1], out_rows = out_pixels / out_width;
  const int64_t threads = c.threads().size();
  float* in = c.scratch<float>(x.num_elements()).data();
  float* out = c.scratch<float>(y.num_elements()).data();
  float* products = c.scratch<float>(pixels * e.columns + channels).data();
  int64_t* indices = c.scratch<int64_t>(threads * (g.taps + 1)).data();
  float* ones = c.scratch<float>(g.taps + 1).data();
  std::fill_n(ones, g.taps + 1, 1.f);
  cpu::transpose_images(c, x.data<float>(), g.batch, in_step, pixels, in);
  const Scatter scatter(g, products);
  for (int64_t n = 0; n < g.batch; ++n)
    for (int64_t k = 0; k < g.group; ++k) {
      CAMEO_TRY(c.check_cancelled());
      c.threads().parallel_for((pixels + kBlockRows - 1) / kBlockRows, [&](int64_t task, int) {
        const int64_t first = task * kBlockRows;
        cpu::panel_gemm_kernels().multiply({.a = in + (n * pixels + first) * in_step + k * e.depth,
                                            .lda = in_step,
                                            .b = packed[0].data<float>() + k * e.group_elements(),
                                            .panel_step = e.depth * kPanelWidth,
                                            .c = products + first * e.columns,
                                            .ldc = e.columns,
                                            .rows = std::min(kBlockRows, pixels - first),
                                            .columns = e.columns,
                                            .depth = e.depth});
      });
      for (int64_t m = 0; m < channels; ++m)
        products[pixels * e.columns + m] = c.has_input(2) ? c.input(2).data<float>()[k * channels + m] : 0.f;
      const int64_t per_task = std::max<int64_t>(1, kTaskElements / (out_width * channels));
      c.threads().parallel_for((out_rows + per_task - 1) / per_task, [&](int64_t task, int worker) {
        for (int64_t row = task * per_task; row < std::min(out_rows, (task + 1) * per_task); ++row)
          scatter.row(row, indices + worker * (g.taps + 1), ones, out + (n * out_pixels + row * out_width) * out_step + k * channels,
                      out_step);
      });
    }
  cpu::transpose_images(c, out, g.batch, out_pixels, out_step, y.data<float>());
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(conv_transpose_f32) = {
    .name = "conv_transpose_f32",
    .op = "ConvTranspose",
    .supports = &supports,
    .prepack = &prepack,
    .packed_inputs = 2,
    .run = &run,
};

}  // namespace cameo::tactics
