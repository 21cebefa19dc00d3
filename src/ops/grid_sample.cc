// GridSample (ai.onnx 16, 20, 22): reads x [N, C, D1.., Dr] at the positions grid [N, D1_out.., Dr_out, r], giving
// y [N, C, D1_out.., Dr_out]. A position lists its coordinates last axis first; -1 and 1 are the centers of the outermost
// elements (align_corners) or their outer edges. Modes: nearest (halves to even), linear and cubic (a = -0.75), called
// bilinear and bicubic in version 16. Outside x there are zeros, or its border, or its mirror image (reflection). An infinite
// coordinate is far outside; NaN reads as outside with zeros and as the first element otherwise.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

constexpr size_t kMaxSpatialRank = 6;  // the number of taps grows as 4^rank

enum class Mode { kNearest, kLinear, kCubic };
enum class Padding { kZeros, kBorder, kReflection };

struct GridSampleAttrs : ir::AttrsOf<GridSampleAttrs> {
  std::string mode = "linear";
  std::string padding_mode = "zeros";
  int64_t align_corners = 0;
  void visit(ir::AttrVisitor& v) override {
    v("mode", mode);
    v("padding_mode", padding_mode);
    v("align_corners", align_corners);
  }
};

struct Sampler {
  Mode mode;
  Padding padding;
  bool align_corners;
};

Result<Sampler> sampler_of(const GridSampleAttrs& a) {
  Sampler s{Mode::kLinear, Padding::kZeros, a.align_corners != 0};
  if (a.mode == "nearest")
    s.mode = Mode::kNearest;
  else if (a.mode == "cubic" || a.mode == "bicubic")
    s.mode = Mode::kCubic;
  else if (a.mode != "linear" && a.mode != "bilinear")
    return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: nearest, linear, cubic, bilinear, bicubic", a.mode);
  if (a.padding_mode == "border")
    s.padding = Padding::kBorder;
  else if (a.padding_mode == "reflection")
    s.padding = Padding::kReflection;
  else if (a.padding_mode != "zeros")
    return error(ErrorCode::kInvalidModel, "padding_mode is '{}'; allowed: zeros, border, reflection", a.padding_mode);
  return s;
}

Status infer(InferContext& c) {
  CAMEO_TRY(sampler_of(c.attrs<GridSampleAttrs>()));
  if (c.shape(0) && (c.shape(0)->size() < 3 || c.shape(0)->size() > kMaxSpatialRank + 2))
    return error(ErrorCode::kUnsupported, "the input has rank {}; 3 to {} are supported", c.shape(0)->size(), kMaxSpatialRank + 2);
  if (!c.shape(0) || !c.shape(1)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const ir::Shape &x = *c.shape(0), &grid = *c.shape(1);
  CAMEO_TRY(check_rank(c, 1, x.size(), "grid"));
  CAMEO_TRY(agree(static_cast<int64_t>(x.size()) - 2, grid.back(), "the last extent of grid"));
  ir::Shape out(grid.begin(), grid.end() - 1);
  CAMEO_ASSIGN(out[0], agree(x[0], grid[0], "the batch of grid"));
  out.insert(out.begin() + 1, x[1]);
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

// Mirrors x at the ends of [least, most] until it lies between them.
double reflect(double x, double least, double most) {
  const double range = most - least;
  if (!(range > 0) || !std::isfinite(x)) return least;
  if (x >= least && x <= most) return x;
  const double beyond = x < least ? least - x : x - most;
  const double rest = std::fmod(beyond, range);
  const bool even = std::fmod(std::trunc(beyond / range), 2) == 0;
  return even == (x < least) ? least + rest : most - rest;
}

// What one axis contributes: up to four elements with their weights; index -1 stands for a zero.
struct AxisTaps {
  int count = 0;
  int64_t index[4];
  double weight[4];
};

int64_t padded_index(const Sampler& s, int64_t at, int64_t extent) {
  if (at >= 0 && at < extent) return at;
  if (s.padding == Padding::kZeros) return -1;
  if (s.padding == Padding::kBorder) return at < 0 ? 0 : extent - 1;
  const auto n = static_cast<double>(extent);
  const double mirrored = s.align_corners ? reflect(static_cast<double>(at), 0, n - 1) : reflect(static_cast<double>(at), -0.5, n - 0.5);
  return std::clamp<int64_t>(static_cast<int64_t>(mirrored), 0, extent - 1);
}

AxisTaps axis_taps(const Sampler& s, double coordinate, int64_t extent) {
  const auto n = static_cast<double>(extent);
  double x = s.align_corners ? (coordinate + 1) / 2 * (n - 1) : ((coordinate + 1) * n - 1) / 2;
  if (s.mode == Mode::kNearest) x = std::nearbyint(x);
  const double least = s.align_corners ? 0 : -0.5, most = s.align_corners ? n - 1 : n - 0.5;
  if (s.padding == Padding::kBorder)
    x = x < least ? 0 : x > most ? n - 1 : x;
  else if (s.padding == Padding::kReflection)
    x = reflect(x, least, most);
  // Far outside one place is like another, and casts stay defined.
  if (std::isnan(x)) x = s.padding == Padding::kZeros ? -8 : 0;
  x = std::clamp(x, -8.0, n + 8);
  AxisTaps taps;
  if (s.mode == Mode::kNearest) {
    taps.count = 1;
    taps.index[0] = padded_index(s, static_cast<int64_t>(x), extent);
    taps.weight[0] = 1;
    return taps;
  }
  const double base = std::floor(x), ratio = x - base;
  const int64_t first = static_cast<int64_t>(base) - (s.mode == Mode::kCubic);
  taps.count = s.mode == Mode::kCubic ? 4 : 2;
  for (int t = 0; t < taps.count; ++t) {
    taps.index[t] = padded_index(s, first + t, extent);
    if (s.mode == Mode::kLinear) {
      taps.weight[t] = t == 0 ? 1 - ratio : ratio;
    } else {
      constexpr double a = -0.75;
      const double d = std::fabs(t - 1 - ratio);
      taps.weight[t] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
  }
  return taps;
}

// All taps of a position: offsets into a channel, and weights.
struct Taps {
  std::span<int64_t> offset;
  std::span<double> weight;
  size_t count = 0;
};

void combine_axes(const AxisTaps* axes, const Dims& extents, size_t axis, int64_t offset, double weight, Taps& taps) {
  if (axis == extents.rank()) {
    taps.offset[taps.count] = offset;
    taps.weight[taps.count++] = weight;
    return;
  }
  for (int t = 0; t < axes[axis].count; ++t)
    if (axes[axis].index[t] >= 0)
      combine_axes(axes, extents, axis + 1, offset * extents[axis] + axes[axis].index[t], weight * axes[axis].weight[t], taps);
}

// Calls fn(batch, point, taps) for each position of the grid.
template <class G, class Fn>
void for_each_position(KernelContext& c, const Sampler& s, const Dims& extents, int64_t points, Fn fn) {
  const Tensor& grid = c.input(1);
  const size_t rank = extents.rank();
  const int64_t per_axis = s.mode == Mode::kNearest ? 1 : s.mode == Mode::kLinear ? 2 : 4;
  int64_t most = 1;
  for (size_t i = 0; i < rank; ++i) most *= per_axis;
  Taps taps{c.scratch<int64_t>(most), c.scratch<double>(most)};
  const G* at = grid.data<G>();
  AxisTaps axes[kMaxSpatialRank];
  for (int64_t b = 0; b < grid.dim(0); ++b)
    for (int64_t p = 0; p < points; ++p, at += rank) {
      for (size_t i = 0; i < rank; ++i)
        axes[i] = axis_taps(s, static_cast<double>(static_cast<compute_t<G>>(at[rank - 1 - i])), extents[i]);
      taps.count = 0;
      combine_axes(axes, extents, 0, 0, 1, taps);
      fn(b, p, taps);
    }
}

Status reference(KernelContext& c) {
  CAMEO_ASSIGN(const Sampler s, sampler_of(c.attrs<GridSampleAttrs>()));
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const Dims extents(x.dims().span().subspan(2));
  const int64_t channels = x.dim(1), size = extents.num_elements(), points = product(y.dims(), 2, y.rank());
  if (size == 0) return error(ErrorCode::kInvalidInput, "an input of shape {} has no element to read", x.dims().to_string());
  const auto each_position = [&](auto fn) {
    return dispatch_floats(c.input(1).dtype(), "The grid", [&](auto tag) -> Status {
      for_each_position<typename decltype(tag)::type>(c, s, extents, points, fn);
      return {};
    });
  };
  if (s.mode == Mode::kNearest)
    return dispatch_storage(x.dtype(), "GridSample", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      return each_position([&](int64_t b, int64_t p, const Taps& taps) {
        for (int64_t k = b * channels; k < (b + 1) * channels; ++k)
          y.data<T>()[k * points + p] = taps.count > 0 ? x.data<T>()[k * size + taps.offset[0]] : T{};
      });
    });
  return dispatch_floats(x.dtype(), "Interpolation", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    return each_position([&](int64_t b, int64_t p, const Taps& taps) {
      for (int64_t k = b * channels; k < (b + 1) * channels; ++k) {
        const T* from = x.data<T>() + k * size;
        double sum = 0;
        for (size_t t = 0; t < taps.count; ++t)
          sum += taps.weight[t] * static_cast<double>(static_cast<compute_t<T>>(from[taps.offset[t]]));
        y.data<T>()[k * points + p] = static_cast<T>(sum);
      }
    });
  });
}

}  // namespace

CAMEO_DEFINE_OP(GridSample) = {
    .name = "GridSample",
    .min_version = 16,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kAllTypes, kFloatTypes},
    .make_attrs = &ir::make_attrs<GridSampleAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
