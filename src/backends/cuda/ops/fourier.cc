// DFT, STFT and the window functions: a thread for each number of the result, which adds up the signal with roots of unity from a
// table. Computed in double, as the reference does.
#include <cmath>
#include <numbers>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

// exp(2 pi i k / n) for k in [0, n), [n, 2].
Result<Operand> roots(StepBuilder& b, int64_t n) {
  std::vector<double> table;
  for (int64_t k = 0; k < n; ++k) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
    table.push_back(std::cos(angle));
    table.push_back(std::sin(angle));
  }
  return b.constant(Tensor::of<double>({n, 2}, table));
}

// Lines that add to `re` and `im` the first `count` elements of a line of complex numbers, turned by the roots of bin `bin`; the
// line's element n is given by the lines of `element`, which set `xr` and `xi`.
void transform(Source& s, const Operand& table, int64_t length, const std::string& bin, const std::string& count, bool inverse,
               const std::string& element) {
  const std::string n = s.number(length), root = s.read(table);
  s.line(fmt::format("double re = 0, im = 0; I turn = 0; const I step = ({}) % {};", bin, n));
  s.line(fmt::format("for (I n = 0; n < {}; ++n) {{ double xr, xi; {}", count, element));
  s.line(fmt::format("const double c = get({0}[2 * turn]), d = {1}get({0}[2 * turn + 1]);", root, inverse ? "" : "-"));
  s.line("re += xr * c - xi * d; im += xr * d + xi * c;");
  s.line(fmt::format("turn += step; if (turn >= {0}) turn -= {0}; }}", n));
}

Status make_dft(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  const bool inverse = b.attrs().integer("inverse") != 0, one_sided = b.attrs().integer("onesided") != 0, to_real = inverse && one_sided;
  int64_t given = b.version() < 20 ? b.attrs().integer("axis", 1) : -2;
  if (b.version() >= 20 && b.has_input(2)) {
    CAMEO_ASSIGN(const std::vector<int64_t> list, b.ints(2));
    if (list.size() != 1) return error(ErrorCode::kInvalidInput, "axis has {} elements; it must be one number", list.size());
    given = list[0];
  }
  const size_t axis = axis_of(given, x.dims.rank());
  if (axis + 1 >= x.dims.rank()) return error(ErrorCode::kInvalidInput, "axis is {}", given);
  const int64_t extent = x.dims[axis], parts = x.dims.back();
  int64_t length = to_real ? 2 * (extent - 1) : extent;
  if (b.has_input(1)) {
    CAMEO_ASSIGN(const std::vector<int64_t> list, b.ints(1));
    if (list.size() != 1) return error(ErrorCode::kInvalidInput, "dft_length has {} elements; it must be one number", list.size());
    length = list[0];
  }
  if (length < 1) return error(ErrorCode::kInvalidInput, "the length of the transform is {}", length);
  const int64_t inner = product(x.dims, axis + 1, x.dims.rank() - 1), outer = product(x.dims, 0, axis), out = y.dims[axis];
  const int64_t read = std::min(extent, to_real ? length / 2 + 1 : length);
  CAMEO_ASSIGN(const Operand table, roots(b, length));
  Source s;
  const auto at = s.unravel("i", Dims{outer, out, inner});
  s.line(fmt::format("const I from = (({}) * {} * {} + {}) * {};", at[0], s.number(extent), s.number(inner), at[2], parts));
  const std::string step = s.number(inner * parts);
  std::string element = fmt::format("xr = {}; xi = {};", s.load(x, fmt::format("from + n * {}", step)),
                                    parts == 2 ? s.load(x, fmt::format("from + n * {} + 1", step)) : "0");
  if (to_real) {
    // The other half is the mirror image: all but the first (and, of an even length, the middle) count twice, real parts alone stay.
    const std::string middle = length % 2 == 0 ? s.number(length / 2) : "-1";
    element += fmt::format(" if (n == 0 || n == {}) xi = 0; else {{ xr *= 2; xi *= 2; }}", middle);
  }
  transform(s, table, length, at[1], s.number(read), inverse, element);
  const std::string scale = inverse ? literal(1.0 / static_cast<double>(length)) : "1.0";
  s.line(fmt::format("const I to = i * {};", to_real ? 1 : 2));
  s.store(y, "to", "re * " + scale);
  if (!to_real) s.store(y, "to + 1", "im * " + scale);
  return s.launch_elements(b, outer * out * inner);
}

Status make_stft(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(const std::vector<int64_t> step, b.ints(1));
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  int64_t frame = b.has_input(2) ? b.in_dims(2).num_elements() : x.dims[1];
  if (b.has_input(3)) {
    CAMEO_ASSIGN(const std::vector<int64_t> list, b.ints(3));
    if (list.size() != 1) return error(ErrorCode::kInvalidInput, "frame_length has {} elements; it must be one number", list.size());
    frame = list[0];
  }
  if (step.size() != 1 || step[0] < 1 || frame < 1 || frame > x.dims[1])
    return error(ErrorCode::kInvalidInput, "frames of {} of a signal of {} samples", frame, x.dims[1]);
  if (b.has_input(2) && b.in_dims(2).num_elements() != frame)
    return error(ErrorCode::kInvalidInput, "frame_length is {}, but the window has {} elements", frame, b.in_dims(2).num_elements());
  CAMEO_ASSIGN(const Operand table, roots(b, frame));
  const int64_t parts = x.dims[2];
  Source s;
  const auto at = s.unravel("i", Dims{y.dims[0], y.dims[1], y.dims[2]});
  s.line(fmt::format("const I from = (({}) * {} + ({}) * {}) * {};", at[0], s.number(x.dims[1]), at[1], s.number(step[0]), parts));
  std::string weight;
  if (b.has_input(2)) {
    CAMEO_ASSIGN(Operand window, b.input(2));
    weight = fmt::format(" const double w = {}; xr *= w; xi *= w;", s.load(window, "n"));
  }
  transform(s, table, frame, at[2], s.number(frame), false,
            fmt::format("xr = {}; xi = {};{}", s.load(x, fmt::format("from + n * {}", parts)),
                        parts == 2 ? s.load(x, "from + n * 2 + 1") : "0", weight));
  s.store(y, "2 * i", "re");
  s.store(y, "2 * i + 1", "im");
  return s.launch_elements(b, y.dims.num_elements() / 2);
}

// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N)
Status make_window_function(StepBuilder& b) {
  const Operand y = b.output(0);
  const std::string_view op = b.node().op->name;
  const double a0 = op == "HannWindow"      ? 0.5
                    : op == "HammingWindow" ? 25.0 / 46
                                            : 0.42,
               a2 = op == "BlackmanWindow" ? 0.08 : 0,
               a1 = op == "HannWindow"      ? 0.5
                    : op == "HammingWindow" ? 21.0 / 46
                                            : 0.5;
  const int64_t samples = y.dims.num_elements(), period = b.attrs().integer("periodic", 1) ? samples : samples - 1;
  Source s;
  s.line(period == 0 ? "const double turn = 1;" : fmt::format("const double turn = 2.0 * i / {};", s.number(period)));
  const std::string value = fmt::format("{} - {} * cospi(turn) + {} * cospi(2 * turn)", literal(a0), literal(a1), literal(a2));
  s.store(y, "i", is_integer(y.dtype) ? fmt::format("Cut<{}>::of({})", compute_type(y.dtype), value) : value);
  return s.launch_elements(b, samples);
}

}  // namespace

std::vector<DeviceOp> fourier_ops() {
  return {
      {"DFT", "", make_dft, 0b110},
      {"STFT", "", make_stft, 0b1010},
      {"HannWindow", "", make_window_function, 0b1},
      {"HammingWindow", "", make_window_function, 0b1},
      {"BlackmanWindow", "", make_window_function, 0b1},
  };
}

}  // namespace cameo::cuda
