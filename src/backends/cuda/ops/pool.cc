// MaxPool, AveragePool, LpPool and the pools over [N, spatial…, C]: a thread for each element of the output, or for 16 bytes of
// channels.
#include <algorithm>

#include "backends/cuda/ops/ops.h"
#include "backends/cuda/ops/windows.h"
#include "ops/channels_last.h"

namespace cameo::cuda {
namespace {

// How many taps of the window at `where` count, as `n`: those inside, or inside the padded input.
void count_taps(StepBuilder& b, Source& s, const ops::Window& w, std::span<const int64_t> extents, std::span<const std::string> where) {
  const bool padding = b.attrs().integer("count_include_pad") != 0;
  s.line("I n = 1;");
  for (size_t a = 0; a < w.rank; ++a) {
    const ops::WindowAxis& axis = w.axes[a];
    const int64_t begin = padding ? 0 : axis.begin, extent = extents[a] + (padding ? axis.begin + axis.end : 0);
    s.line(fmt::format("{{ const I start = ({}) * {} - {}, d = {}, e = {};", where[a], s.number(axis.stride), s.number(begin),
                       s.number(axis.dilation), s.number(extent)));
    s.line("const I first = start >= 0 ? 0 : (-start + d - 1) / d;");
    s.line(fmt::format("I end = start >= e ? 0 : (e - 1 - start) / d + 1; end = end < {0} ? end : {0};", s.number(axis.kernel)));
    s.line("n *= end > first ? end - first : 0; }");
  }
}

// Largest or mean over [N, spatial…, C] with 16 bytes of channels a thread.
Status pool_channels(StepBuilder& b, const ops::Window& w, const Dims& in, const Operand& x, const Operand& y, int64_t width) {
  const bool largest = b.node().op->name == "MaxPool";
  Source s;
  Dims groups = y.dims;
  groups[groups.rank() - 1] /= width;
  const auto at = s.unravel("i", groups);
  const std::vector<std::string> where(at.begin() + 1, at.end() - 1);
  s.line(fmt::format("const I channel = ({}) * {};", at.back(), width));
  s.line(fmt::format("float acc[{0}]; for (int u = 0; u < {0}; ++u) acc[u] = 0.f;", width));
  if (largest) s.line("bool any = false;");
  const std::span<const int64_t> extents(in.data() + 2, w.rank);
  const Taps taps = open_taps(s, w, extents, where);
  std::vector<std::string> source = {at[0]};
  source.insert(source.end(), taps.position.begin(), taps.position.end());
  source.push_back("channel");
  s.line(fmt::format("const auto piece = *(const Vec<{}, {}>*)({} + {});", storage_type(x.dtype, x.narrowed), width, s.read(x),
                     s.offset(source, dense_strides(x.dims))));
  s.line("#pragma unroll");
  s.line(fmt::format("for (int u = 0; u < {}; ++u) {{ const float v = get(piece.v[u]);", width));
  s.line(largest ? "if (!any || (!(v <= acc[u]) && acc[u] == acc[u])) acc[u] = v; }" : "acc[u] += v; }");
  if (largest) s.line("any = true;");
  close_taps(s, w);
  if (!largest) count_taps(b, s, w, extents, where);
  s.line(fmt::format("Vec<{}, {}> result;", storage_type(y.dtype, y.narrowed), width));
  s.line(fmt::format("for (int u = 0; u < {}; ++u) put(result.v[u], {});", width,
                     largest ? fmt::format("any ? acc[u] : {}", x.dtype == DType::kUint8  ? "0.f"
                                                                : x.dtype == DType::kInt8 ? "-128.f"
                                                                                          : "-__int_as_float(0x7f800000)")
                             : "n == 0 ? 0.f : acc[u] / (float)n"));
  s.line(fmt::format("*(Vec<{}, {}>*)({} + i * {}) = result;", storage_type(y.dtype, y.narrowed), width, s.write(y), width));
  return s.launch_elements(b, groups.num_elements());
}

Status make_pool(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  const bool last = b.node().op->domain == "ai.cameo";
  const std::string_view op = b.node().op->name;
  if (y.dims.num_elements() == 0) return {};
  const Dims in = last ? ops::channels_first(x.dims) : x.dims, out = last ? ops::channels_first(y.dims) : y.dims;
  CAMEO_ASSIGN(const ops::Window w, ops::make_window(window_attrs(b), in, out));
  const int64_t width = 16 / static_cast<int64_t>(std::max(dtype_size(x.dtype), dtype_size(y.dtype)));
  const bool floats = is_float(x.dtype) && is_float(y.dtype),
             bytes = op == "MaxPool" && (x.dtype == DType::kUint8 || x.dtype == DType::kInt8);
  if (last && (op == "MaxPool" || op == "AveragePool") && !b.has_output(1) && (floats || bytes) && width >= 4 &&
      y.dims.back() % width == 0 && x.offset % 16 == 0 && y.offset % 16 == 0)
    return pool_channels(b, w, in, x, y, width);
  Source s;
  const auto at = s.unravel("i", y.dims);
  const std::string batch = at[0], channel = last ? at.back() : at[1];
  std::vector<std::string> where(at.begin() + (last ? 1 : 2), at.end() - (last ? 1 : 0));
  const Dims strides = dense_strides(x.dims);
  const std::string type = op == "MaxPool" ? compute_type(b.in_type(0)) : b.in_type(0) == DType::kFloat64 ? "double" : "float";
  s.declare("typedef " + type + " C;");
  const bool largest = op == "MaxPool", mean = op == "AveragePool";
  s.line(largest ? "C acc = 0; bool any = false; i64 best = -1;" : "C acc = 0;");
  const std::span<const int64_t> extents(in.data() + 2, w.rank);
  const Taps taps = open_taps(s, w, extents, where);
  std::vector<std::string> source = {batch};
  if (!last) source.push_back(channel);
  source.insert(source.end(), taps.position.begin(), taps.position.end());
  if (last) source.push_back(channel);
  s.line(fmt::format("const I from = {};", s.offset(source, strides)));
  s.line(fmt::format("const C v = {};", s.load(x, "from")));
  if (largest)
    s.line("if (!any || (!(v <= acc) && acc == acc)) { acc = v; any = true; best = from; }");
  else if (mean)
    s.line("acc += v;");
  else
    s.line(fmt::format("acc += pow(fabs(v), (C){});", b.attrs().integer("p", 2)));
  close_taps(s, w);
  if (largest) {
    const char* lowest = b.in_type(0) == DType::kInt8 ? "(C)-128" : is_float(b.in_type(0)) ? "(C)(-__int_as_float(0x7f800000))" : "(C)0";
    s.store(y, "i", fmt::format("any ? acc : {}", lowest));
    if (b.has_output(1)) {
      if (b.attrs().integer("storage_order") != 0) {
        // Within a channel the first spatial axis is the fastest.
        int64_t size = 1;
        for (int64_t e : extents) size *= e;
        const std::string n = s.number(size);
        s.line(fmt::format("if (best >= 0) {{ I rest = (I)(best % {0}); const I plane = (I)(best / {0}); I to = 0;", n));
        std::vector<std::string> names;
        for (size_t a = w.rank; a-- > 0;) s.line(fmt::format("const I e{0} = rest % {1}; rest /= {1};", a, s.number(extents[a])));
        for (size_t a = w.rank; a-- > 0;) s.line(fmt::format("to = to * {} + e{};", s.number(extents[a]), a));
        s.line(fmt::format("best = (i64)plane * {} + to; }}", n));
      }
      s.store(b.output(1), "i", "best");
    }
  } else if (mean) {
    count_taps(b, s, w, extents, where);
    s.store(y, "i", "n == 0 ? (C)0 : acc / (C)n");
  } else {
    s.store(y, "i", fmt::format("pow(acc, (C)1 / (C){})", b.attrs().integer("p", 2)));
  }
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> pool_ops() {
  return {
      {"MaxPool", "", make_pool},         {"AveragePool", "", make_pool},         {"LpPool", "", make_pool},
      {"MaxPool", "ai.cameo", make_pool}, {"AveragePool", "ai.cameo", make_pool},
  };
}

}  // namespace cameo::cuda
