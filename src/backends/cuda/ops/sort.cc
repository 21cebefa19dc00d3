// TopK: a block for each row picks the best element, then the best of those behind it, k times. Of equal elements the one with the
// lower index comes first; not a number counts as larger than any.
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

Status make_top_k(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const size_t axis = axis_of(b.attrs().integer("axis", -1), x.dims.rank());
  const bool largest = b.attrs().integer("largest", 1) != 0 || b.version() < 11;
  const Dims& out = b.has_output(0) ? b.out_dims(0) : b.out_dims(1);
  const int64_t outer = product(x.dims, 0, axis), n = x.dims[axis], inner = product(x.dims, axis + 1, x.dims.rank()), k = out[axis];
  if (outer * inner * k == 0) return {};
  Source s;
  s.declare(
      fmt::format("typedef {} C;\ninline bool larger(C a, C b) {{ return a > b || (a != a && b == b); }}\n"
                  "inline bool before(C v, I i, C w, I j) {{ return larger({}) ? true : larger({}) ? false : i < j; }}",
                  compute_type(b.in_type(0)), largest ? "v, w" : "w, v", largest ? "w, v" : "v, w"));
  const auto at = s.unravel("block", Dims{outer, inner});
  const std::string count = s.number(n), step = s.number(inner), most = s.number(k);
  s.line(fmt::format("const I from = ({}) * {} * {} + {}, to = ({}) * {} * {} + {};", at[0], count, step, at[1], at[0], most, step, at[1]));
  s.line("__shared__ C values[256]; __shared__ I indices[256];");
  s.line("C last = 0; I last_index = -1;");
  s.line(fmt::format("for (I r = 0; r < {}; ++r) {{", most));
  s.line("C best = 0; I index = -1;");
  s.line(fmt::format("for (I j = t; j < {}; j += 256) {{", count));
  s.line(fmt::format("const C v = {};", s.load(x, fmt::format("from + j * {}", step))));
  s.line("if (last_index >= 0 && !before(last, last_index, v, j)) continue;");
  s.line("if (index < 0 || before(v, j, best, index)) { best = v; index = j; }");
  s.line("}");
  s.line("values[t] = best; indices[t] = index; __syncthreads();");
  s.line("for (int m = 128; m; m >>= 1) {");
  s.line("if (t < m && indices[t + m] >= 0 && (indices[t] < 0 || before(values[t + m], indices[t + m], values[t], indices[t]))) {");
  s.line("values[t] = values[t + m]; indices[t] = indices[t + m]; }");
  s.line("__syncthreads();");
  s.line("}");
  s.line("last = values[0]; last_index = indices[0]; __syncthreads();");
  s.line("if (t == 0) {");
  if (b.has_output(0)) s.store(b.output(0), fmt::format("to + r * {}", step), "last");
  if (b.has_output(1)) s.store(b.output(1), fmt::format("to + r * {}", step), "last_index");
  s.line("}");
  s.line("}");
  return s.launch_blocks(b, outer * inner, 256);
}

}  // namespace

std::vector<DeviceOp> sort_ops() { return {{"TopK", "", make_top_k, 0b10}}; }

}  // namespace cameo::cuda
