// Depthwise convolutions over channels that are the last axis: a thread takes neighbouring channels of neighbouring outputs in a
// row, so that it reads 16 bytes at a time, and what windows share once.
#include "backends/cuda/ops/depthwise.h"

#include <algorithm>

#include "backends/cuda/program.h"

namespace cameo::cuda {
namespace {

constexpr int64_t kMostOutputs = 4;  // of a thread
constexpr int64_t kMostParts = 4;    // threads that share a window's rows
constexpr int64_t kMostTaps = 9;     // along a row
constexpr int64_t kMostInputs = 24;  // that they span
constexpr int64_t kThreads = 256;    // of a multiprocessor, at least

// How a problem is divided among threads: as little as keeps the device busy.
struct Shares {
  int64_t outputs = kMostOutputs, parts = 1;
};
Shares shares_of(int64_t rows, int64_t columns, int64_t window_rows, int64_t multiprocessors) {
  Shares s;
  const auto few = [&] { return rows * ((columns + s.outputs - 1) / s.outputs) * s.parts < multiprocessors * kThreads; };
  while (few() && s.parts < std::min(kMostParts, window_rows)) s.parts *= 2;
  while (few() && s.outputs > 1) s.outputs /= 2;
  return s;
}

}  // namespace

Result<bool> try_depthwise(StepBuilder& b, const Dims& w_dims, const ops::Window& window, const Operand& x,
                           const ops::PointProgram& program, const Operand& y) {
  if (window.rank != 2 || w_dims[1] != 1 || w_dims[0] != x.dims[3] || y.dims[3] != x.dims[3] || !b.value(1)) return false;
  if (dtype_size(x.dtype) > 4 || dtype_size(y.dtype) > 4 || !is_float(x.dtype) || !is_float(y.dtype)) return false;
  const ops::WindowAxis &down = window.axes[0], &along = window.axes[1];
  const int64_t channels = x.dims[3], width = channels % 8 == 0 && dtype_size(x.dtype) == 2 ? 8 : 4,
                span = (kMostOutputs - 1) * along.stride + (along.kernel - 1) * along.dilation + 1;
  if (channels % width || along.kernel > kMostTaps || span > kMostInputs || x.offset % 32 || y.offset % 32) return false;
  const Shares shares = shares_of(y.dims[0] * y.dims[1] * (channels / width), y.dims[2], down.kernel, b.device().info().multiprocessors);
  const int64_t outputs_each = shares.outputs, parts = shares.parts, groups = (y.dims[2] + outputs_each - 1) / outputs_each;
  const Dims taps{down.kernel * along.kernel, channels};
  CAMEO_ASSIGN(const Operand w, b.prepared(1, "taps first " + std::string(dtype_name(x.dtype)), x.dtype, taps,
                                           [&](StepBuilder& inner, const Operand& from, Operand to) {
                                             to.narrowed = to.dtype != from.dtype;
                                             return transpose(inner, from.seen_as(Dims{channels, taps[0]}), to, {1, 0});
                                           }));
  Source s;
  // The threads of a warp that share windows are `each` apart, so that neighbours read neighbours.
  const int64_t each = 32 / parts, elements = y.dims[0] * y.dims[1] * groups * (channels / width);
  std::string index = "i";
  if (parts > 1) {
    s.line(fmt::format("const I part = (i & 31) / {0}, element = (i >> 5) * {0} + (i & {1});", each, each - 1));
    s.line(fmt::format("if (element >= {}) return;", s.number(elements)));
    index = "element";
  }
  const auto at = s.unravel(index, Dims{y.dims[0], y.dims[1], groups, channels / width});
  const std::string c = s.number(channels), columns = s.number(x.dims[2]), rows = s.number(x.dims[1]), outputs = s.number(y.dims[2]),
                    from = s.read(x), weights = s.read(w), pieces = fmt::format("Vec<{}, {}>", storage_type(x.dtype, x.narrowed), width);
  s.line(fmt::format("constexpr int kV = {}, kP = {}, kW = {}, kS = {}, kD = {};", width, outputs_each, along.kernel, along.stride,
                     along.dilation));
  s.line(fmt::format("const I channel = ({}) * kV, j0 = ({}) * kP;", at[3], at[2]));
  s.line("float acc[kP][kV];");
  s.line("for (int e = 0; e < kP; ++e) for (int u = 0; u < kV; ++u) acc[e][u] = 0.f;");
  s.line(fmt::format("for (int r = {}; r < {}; r += {}) {{", parts > 1 ? "part" : "0", down.kernel, parts));
  s.line(fmt::format("const I h = ({}) * {} - {} + r * {};", at[1], down.stride, s.number(down.begin), down.dilation));
  s.line(fmt::format("if (h < 0 || h >= {}) continue;", rows));
  s.line(fmt::format("Vec<{}, {}> w[kW];", storage_type(w.dtype), width));
  s.line("#pragma unroll");
  s.line(fmt::format("for (int k = 0; k < kW; ++k) w[k] = *(const Vec<{}, {}>*)({} + (I)(r * kW + k) * {} + channel);",
                     storage_type(w.dtype), width, weights, c));
  s.line(fmt::format("const I row = ({}) * {} + h;", at[0], rows));
  s.line("#pragma unroll");
  s.line(fmt::format("for (int q = 0; q < {}; ++q) {{", (outputs_each - 1) * along.stride + (along.kernel - 1) * along.dilation + 1));
  s.line(fmt::format("const I j = j0 * kS - {} + q;", s.number(along.begin)));
  s.line(fmt::format("if (j < 0 || j >= {}) continue;", columns));
  s.line(fmt::format("const auto v = *(const {}*)({} + (row * {} + j) * {} + channel);", pieces, from, columns, c));
  s.line("#pragma unroll");
  s.line("for (int e = 0; e < kP; ++e) {");
  s.line("const int d = q - e * kS;");
  s.line("if (d >= 0 && d % kD == 0 && d / kD < kW) {");
  s.line("#pragma unroll");
  s.line("for (int u = 0; u < kV; ++u) acc[e][u] += get(v.v[u]) * get(w[d / kD].v[u]);");
  s.line("}");
  s.line("}");
  s.line("}");
  s.line("}");
  for (int64_t apart = each; apart < 32; apart *= 2) {
    s.line("#pragma unroll");
    s.line("for (int e = 0; e < kP; ++e)");
    s.line("#pragma unroll");
    s.line(fmt::format("for (int u = 0; u < kV; ++u) acc[e][u] += __shfl_xor_sync(0xffffffffu, acc[e][u], {});", apart));
  }
  s.line("#pragma unroll");
  s.line("for (int e = 0; e < kP; ++e) {");
  s.line("const I j = j0 + e;");
  s.line(fmt::format("if (j >= {}) break;", outputs));
  if (parts > 1) s.line(fmt::format("if (e % {} != part) continue;", parts));
  s.line(fmt::format("Vec<{}, {}> result;", storage_type(y.dtype, y.narrowed), width));
  s.line("#pragma unroll");
  s.line("for (int u = 0; u < kV; ++u) {");
  std::vector<std::string> values = {"acc[e][u]"};
  const std::vector<std::string> element = {at[0], at[1], "j", "(channel + u)"};
  for (size_t k = 2; !program.code.empty() && k < b.num_inputs(); ++k) {
    CAMEO_ASSIGN(Operand o, b.input(k));
    values.push_back(s.load(o, s.offset(element, broadcast(o, y.dims).strides)));
  }
  const std::string value = program.code.empty() ? values[0] : emit_program(s, program, values, y.dtype);
  s.line(fmt::format("put(result.v[u], {});", value));
  s.line("}");
  s.line(fmt::format("*(Vec<{}, {}>*)({} + ((({}) * {} + {}) * {} + j) * {} + channel) = result;", storage_type(y.dtype, y.narrowed), width,
                     s.write(y), at[0], s.number(y.dims[1]), at[1], outputs, c));
  s.line("}");
  CAMEO_TRY(s.launch_elements(b, parts > 1 ? (elements + each - 1) / each * 32 : elements));
  return true;
}

}  // namespace cameo::cuda
