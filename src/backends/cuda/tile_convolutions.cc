// Convolutions as problems of kernels/tile_gemm.h.
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/source.h"
#include "backends/cuda/tile_products.h"

namespace cameo::cuda {
namespace {

constexpr int64_t kFewChannels = 4;

int32_t narrow(int64_t n) { return static_cast<int32_t>(n); }

// The image [N, H, W, C], in whichever order it lies, as [N, H, width, 4], shifted right by `left` pixels, with zeros around.
Status widen(StepBuilder& b, const Operand& x, const Operand& to, int64_t left) {
  Source s;
  const auto at = s.unravel("i", Dims{to.dims[0], to.dims[1], to.dims[2]});
  const std::string vector = fmt::format("Vec<{}, 4>", storage_type(to.dtype, to.narrowed)), width = s.number(x.dims[2]);
  const int64_t channels = x.dims[3];
  s.line(fmt::format("const I j = {} - {};", at[2], s.number(left)));
  s.line(fmt::format("const bool inside = j >= 0 && j < {};", width));
  const std::string height = s.number(x.dims[1]), count = s.number(channels);
  if (x.channels_first)
    s.line(
        fmt::format("const I from = (({}) * {} * {} + {}) * {} + j, step = {} * {};", at[0], count, height, at[1], width, height, width));
  else
    s.line(fmt::format("const I from = ((({}) * {} + {}) * {} + j) * {}, step = 1;", at[0], height, at[1], width, count));
  s.line(vector + " r;");
  for (int64_t c = 0; c < kFewChannels; ++c)
    s.line(c < channels ? fmt::format("put(r.v[{}], inside ? {} : 0.f);", c, s.load(x, fmt::format("from + {} * step", c)))
                        : fmt::format("put(r.v[{}], 0.f);", c));
  s.line(fmt::format("*({}*)({} + (i64)i * 4) = r;", vector, s.write(to)));
  return s.launch_elements(b, to.dims.num_elements() / 4);
}

// Weights [M, R, S, C] as [M, R, taps, 4] with zeros behind.
Status widen_weights(StepBuilder& b, const Operand& w, const Operand& to) {
  Source s;
  const auto at = s.unravel("i", to.dims);
  s.line(fmt::format("const bool inside = ({}) < {} && ({}) < {};", at[2], s.number(w.dims[2]), at[3], s.number(w.dims[3])));
  s.line(fmt::format("const I from = ((({}) * {} + {}) * {} + {}) * {} + {};", at[0], s.number(w.dims[1]), at[1], s.number(w.dims[2]),
                     at[2], s.number(w.dims[3]), at[3]));
  s.store(to, "i", fmt::format("inside ? {} : 0.f", s.load(w, "inside ? from : 0")));
  return s.launch_elements(b, to.dims.num_elements());
}

}  // namespace

std::optional<TileWindow> tile_window(const TileConvolution& c) {
  const size_t rank = c.window.rank;
  if (rank < 1 || rank > 2) return std::nullopt;
  for (size_t a = 0; a < rank; ++a) {
    const ops::WindowAxis& axis = c.window.axes[a];
    for (const int64_t n : {axis.kernel, axis.stride, axis.dilation, axis.begin, c.x[a + 2], c.y[a + 2], c.x[1]})
      if (n < 0 || n > INT32_MAX / 8) return std::nullopt;
  }
  const ops::WindowAxis& along = c.window.axes[rank - 1];
  TileWindow v{.height = 1,
               .width = narrow(c.x[rank + 1]),
               .channels = narrow(c.x[1]),
               .out_height = 1,
               .out_width = narrow(c.y[rank + 1]),
               .kernel_width = narrow(along.kernel),
               .stride_w = narrow(along.stride),
               .dilation_w = narrow(along.dilation),
               .pad_left = narrow(along.begin)};
  if (rank == 2) {
    const ops::WindowAxis& down = c.window.axes[0];
    v.height = narrow(c.x[2]);
    v.out_height = narrow(c.y[2]);
    v.kernel_height = narrow(down.kernel);
    v.stride_h = narrow(down.stride);
    v.dilation_h = narrow(down.dilation);
    v.pad_top = narrow(down.begin);
  }
  return v;
}

Result<std::optional<TileProblem>> convolution_by_tiles(StepBuilder& b, const TileConvolution& c, const Operand& x, const Operand& w,
                                                        const Operand& y) {
  using None = std::optional<TileProblem>;
  const size_t rank = c.window.rank;
  const DType type = y.dtype;
  const auto window = tile_window(c);
  if (!window || (type != DType::kFloat16 && type != DType::kBfloat16)) return None();
  TileProblem t{.m = c.y.num_elements() / c.y[1], .n = c.y[1], .k = c.w.num_elements() / c.w[0], .x = x, .w = w, .y = y};
  bool pointwise = true;
  for (size_t a = 0; a < rank; ++a) {
    const ops::WindowAxis& axis = c.window.axes[a];
    pointwise = pointwise && axis.kernel == 1 && axis.stride == 1 && axis.begin == 0 && c.x[a + 2] == c.y[a + 2];
  }
  if (pointwise) return std::optional(t);
  const ops::WindowAxis& along = c.window.axes[rank - 1];
  TileWindow v = *window;
  if (c.few_channels()) {
    if (!b.value(1) || c.y.num_elements() == 0 || !is_float(x.dtype) || x.dtype == DType::kFloat64) return None();
    const int64_t taps = (along.kernel + 1) / 2 * 2, images = c.x[0], reach = (c.y[3] - 1) * along.stride + taps,
                  width = (std::max(reach, c.x[3] + along.begin) + 1) / 2 * 2;
    if (images * c.x[2] * width > INT32_MAX / 8) return None();
    Operand wide = b.scratch(type, Dims{images, c.x[2], width, kFewChannels});
    wide.narrowed = x.dtype != type;
    CAMEO_TRY(widen(b, x.seen_as(Dims{images, c.x[2], c.x[3], c.x[1]}), wide, along.begin));
    CAMEO_ASSIGN(t.w, b.prepared(1, "pixels of 4 " + std::string(dtype_name(type)), type, Dims{c.w[0], c.w[2], taps, kFewChannels},
                                 [&](StepBuilder& inner, const Operand& from, Operand to) -> Status {
                                   to.narrowed = to.dtype != from.dtype;
                                   const Dims last{c.w[0], c.w[2], c.w[3], c.w[1]};
                                   const Operand turned = inner.scratch(from.dtype, last);
                                   CAMEO_TRY(transpose(inner, from, turned, {0, 2, 3, 1}));
                                   return widen_weights(inner, turned, to);
                                 }));
    t.x = wide;
    t.k = c.w[2] * taps * kFewChannels;
    v.width = narrow(width / 2);
    v.channels = narrow(2 * kFewChannels);
    v.kernel_width = narrow(taps / 2);
    v.stride_w = narrow(along.stride / 2);
    v.pad_left = 0;
    t.before = pass_microseconds(wide.dims.num_elements());
  }
  t.window = v;
  return std::optional(t);
}

}  // namespace cameo::cuda
