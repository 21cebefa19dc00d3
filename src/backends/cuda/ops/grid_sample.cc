// GridSample, AffineGrid: a thread for each element of the output. Positions are worked out in double, as the reference does, so
// that ties of the nearest element fall the same way.
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

// Of one axis: the elements that a coordinate reads and their weights; index -1 stands for a zero. MODE: 0 nearest, 1 linear,
// 2 cubic. PADDING: 0 zeros, 1 border, 2 reflection.
constexpr const char* kTaps = R"cuda(
inline double reflect(double x, double least, double most) {
  const double range = most - least;
  if (!(range > 0) || !isfinite(x)) return least;
  if (x >= least && x <= most) return x;
  const double beyond = x < least ? least - x : x - most, rest = fmod(beyond, range);
  const bool even = fmod(trunc(beyond / range), 2.0) == 0;
  return even == (x < least) ? least + rest : most - rest;
}
inline I padded(I at, I n) {
  if (at >= 0 && at < n) return at;
  if (PADDING == 0) return -1;
  if (PADDING == 1) return at < 0 ? 0 : n - 1;
  const I m = (I)(ALIGN ? reflect((double)at, 0, (double)n - 1) : reflect((double)at, -0.5, (double)n - 0.5));
  return m < 0 ? 0 : m >= n ? n - 1 : m;
}
inline void axis_taps(double coordinate, I extent, I* index, R* weight) {
  const double n = (double)extent;
  double x = ALIGN ? (coordinate + 1) / 2 * (n - 1) : ((coordinate + 1) * n - 1) / 2;
  if (MODE == 0) x = rint(x);
  const double least = ALIGN ? 0 : -0.5, most = ALIGN ? n - 1 : n - 0.5;
  if (PADDING == 1) x = x < least ? 0 : x > most ? n - 1 : x;
  if (PADDING == 2) x = reflect(x, least, most);
  if (x != x) x = PADDING == 0 ? -8 : 0;
  x = x < -8 ? -8 : x > n + 8 ? n + 8 : x;
  if (MODE == 0) { index[0] = padded((I)x, extent); weight[0] = 1; return; }
  const double base = floor(x), ratio = x - base;
  const I first = (I)base - (MODE == 2);
  for (int t = 0; t < TAPS; ++t) {
    index[t] = padded(first + t, extent);
    if (MODE == 1) {
      weight[t] = (R)(t == 0 ? 1 - ratio : ratio);
    } else {
      const double a = -0.75, d = fabs(t - 1 - ratio);
      weight[t] = (R)(d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a);
    }
  }
}
)cuda";

Status make_grid_sample(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand grid, b.input(1));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  if (x.dims.num_elements() == 0) return error(ErrorCode::kInvalidInput, "an input of shape {} has no element to read", x.dims.to_string());
  const std::string mode = b.attrs().text("mode", "linear"), padding = b.attrs().text("padding_mode", "zeros");
  const bool nearest = mode == "nearest", cubic = mode == "cubic" || mode == "bicubic";
  const size_t rank = x.dims.rank() - 2;
  const int64_t channels = x.dims[1], points = product(y.dims, 2, y.dims.rank());
  Source s;
  s.declare(fmt::format("typedef {} R;\n#define MODE {}\n#define TAPS {}\n#define PADDING {}\n#define ALIGN {}",
                        b.in_type(0) == DType::kFloat64 ? "double" : "float",
                        nearest ? 0
                        : cubic ? 2
                                : 1,
                        nearest ? 1
                        : cubic ? 4
                                : 2,
                        padding == "border"       ? 1
                        : padding == "reflection" ? 2
                                                  : 0,
                        b.attrs().integer("align_corners") != 0));
  s.declare(kTaps);
  const auto at = s.unravel("i", Dims{x.dims[0], channels, points});
  s.line(fmt::format("const I cell = (({}) * {} + {}) * {};", at[0], s.number(points), at[2], rank));
  s.line(
      fmt::format("const I base = (({}) * {} + {}) * {};", at[0], s.number(channels), at[1], s.number(product(x.dims, 2, x.dims.rank()))));
  std::string offset = "0", weight;
  for (size_t a = 0; a < rank; ++a) {
    s.line(fmt::format("I at{0}[TAPS]; R w{0}[TAPS]; axis_taps((double){1}, {2}, at{0}, w{0});", a,
                       s.load(grid, fmt::format("cell + {}", rank - 1 - a)), s.number(x.dims[a + 2])));
    offset = fmt::format("({}) * {} + at{}[k{}]", offset, s.number(x.dims[a + 2]), a, a);
    weight += fmt::format("{}w{}[k{}]", a == 0 ? "" : " * ", a, a);
  }
  s.line(fmt::format("{} sum = 0;", nearest ? compute_type(b.in_type(0)) : "R"));
  for (size_t a = 0; a < rank; ++a) s.line(fmt::format("for (int k{0} = 0; k{0} < TAPS; ++k{0}) {{ if (at{0}[k{0}] < 0) continue;", a));
  const std::string element = s.load(x, "base + " + offset);
  s.line(nearest ? fmt::format("sum = {};", element) : fmt::format("sum += {} * (R){};", weight, element));
  s.line(std::string(rank, '}'));
  s.store(y, "i", "sum");
  return s.launch_elements(b, y.dims.num_elements());
}

// theta times (x, y, [z,] 1); coordinates run from -1 to 1 over the centres of the outermost pixels or over their outer edges.
Status make_affine_grid(StepBuilder& b) {
  CAMEO_ASSIGN(Operand theta, b.input(0));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  const bool align = b.attrs().integer("align_corners") != 0;
  const auto spatial = static_cast<size_t>(y.dims.back());
  Source s;
  const auto at = s.unravel("i", y.dims);
  s.line(fmt::format("const I row = (({}) * {} + {}) * {};", at[0], spatial, at.back(), spatial + 1));
  s.line(fmt::format("double sum = (double){};", s.load(theta, fmt::format("row + {}", spatial))));
  for (size_t k = 0; k < spatial; ++k) {
    // x runs fastest and comes first
    const size_t axis = spatial - k;
    const std::string n = s.number(y.dims[axis]);
    const std::string coordinate = !align              ? fmt::format("(2.0 * ({}) + 1.0) / {} - 1.0", at[axis], n)
                                   : y.dims[axis] == 1 ? std::string("0.0")
                                                       : fmt::format("2.0 * ({}) / ({} - 1) - 1.0", at[axis], n);
    s.line(fmt::format("sum += (double){} * ({});", s.load(theta, fmt::format("row + {}", k)), coordinate));
  }
  s.store(y, "i", "sum");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> grid_ops() {
  return {
      {"GridSample", "", make_grid_sample},
      {"AffineGrid", "", make_affine_grid, 0b10},
  };
}

}  // namespace cameo::cuda
