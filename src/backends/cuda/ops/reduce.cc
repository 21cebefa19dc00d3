// Reductions over axes, and running sums. Variants:
//   rows      a block takes one element of the output, its threads share what goes into it: where much goes into each
//   columns   a thread takes one element of the output: where little goes in, or neighbouring threads read neighbours
#include <cmath>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

// One reduction: `acc` is what was taken in so far, `x` an element, both of type C; `n` their number.
struct Reducer {
  const char* name;
  const char* start;   // of an empty set
  const char* step;    // acc with x taken in
  const char* merge;   // the functor that joins two partial results
  const char* finish;  // the result from acc
};
// Of more rows a thread takes one each.
constexpr int64_t kFewRows = 4096;

constexpr Reducer kReducers[] = {
    {"ReduceSum", "(C)0", "acc + x", "Plus()", "acc"},
    {"ReduceMean", "(C)0", "acc + x", "Plus()", "acc / (C)n"},
    {"ReduceMax", "LOWEST", "most<C>(acc, x)", "Most()", "acc"},
    {"ReduceMin", "HIGHEST", "least<C>(acc, x)", "Least()", "acc"},
    {"ReduceProd", "(C)1", "acc * x", "Times()", "acc"},
    {"ReduceL1", "(C)0", "acc + (x < (C)0 ? -x : x)", "Plus()", "acc"},
    {"ReduceL2", "(C)0", "acc + x * x", "Plus()", "(C)sqrt((R)acc)"},
    {"ReduceLogSum", "(C)0", "acc + x", "Plus()", "(C)log((R)acc)"},
    {"ReduceSumSquare", "(C)0", "acc + x * x", "Plus()", "acc"},
    {"ReduceLogSumExp", "(R)0", "acc + exp((R)x - peak)", "Plus()", "(acc == (R)0 ? peak : log(acc) + peak)"},
    {"GlobalAveragePool", "(C)0", "acc + x", "Plus()", "acc / (C)n"},
    {"GlobalMaxPool", "LOWEST", "most<C>(acc, x)", "Most()", "acc"},
    {"GlobalLpPool", "(C)0", "acc + pow(fabs(x), (C)POWER)", "Plus()", "pow(acc, (C)1 / (C)POWER)"},
};

std::string limit_of(DType t, bool least) {
  switch (t) {
    case DType::kInt8:
      return least ? "-128" : "127";
    case DType::kUint8:
      return least ? "0" : "255";
    case DType::kInt16:
      return least ? "-32768" : "32767";
    case DType::kUint16:
      return least ? "0" : "65535";
    case DType::kInt32:
      return least ? "(-2147483647 - 1)" : "2147483647";
    case DType::kUint32:
      return least ? "0" : "4294967295u";
    case DType::kInt64:
      return least ? "(-9223372036854775807ll - 1)" : "9223372036854775807ll";
    case DType::kUint64:
      return least ? "0" : "18446744073709551615ull";
    case DType::kBool:
      return least ? "0" : "1";
    default:
      return least ? "(-__int_as_float(0x7f800000))" : "__int_as_float(0x7f800000)";
  }
}

struct Axes {
  Dims kept, kept_strides, reduced, reduced_strides;
};

Status reduce(StepBuilder& b, const Operand& x, const Operand& y, std::span<const char> is_reduced, const Reducer& r) {
  if (y.dims.num_elements() == 0) return {};
  Axes a;
  const Dims strides = dense_strides(x.dims);
  for (size_t i = 0; i < x.dims.rank(); ++i) {
    if (x.dims[i] == 1) continue;
    Dims& dims = is_reduced[i] ? a.reduced : a.kept;
    Dims& steps = is_reduced[i] ? a.reduced_strides : a.kept_strides;
    if (dims.rank() > 0 && steps.back() == strides[i] * x.dims[i] && is_reduced[i] == is_reduced[i - 1]) {
      dims[dims.rank() - 1] *= x.dims[i];
      steps[steps.rank() - 1] = strides[i];
    } else {
      dims.push_back(x.dims[i]);
      steps.push_back(strides[i]);
    }
  }
  const int64_t outputs = a.kept.num_elements(), count = a.reduced.num_elements();
  const bool contiguous = a.reduced.rank() > 0 && a.reduced_strides.back() == 1;
  const bool by_rows = count >= 32 && (contiguous || outputs < 4096);
  const DType type = b.in_type(0);
  const bool lse = std::string_view(r.name) == "ReduceLogSumExp";
  const std::string real = is_float(type) ? compute_type(type) : "double";
  Source s;
  // Sums of integers are kept modulo 2^64.
  const std::string_view name = r.name;
  const bool order = name == "ReduceMax" || name == "ReduceMin" || name == "GlobalMaxPool";
  const std::string acc_type = lse ? real : is_float(type) || order ? compute_type(type) : "i64";
  s.declare(fmt::format("typedef {} C; typedef {} R;\n#define LOWEST {}\n#define HIGHEST {}\n#define POWER {}",
                        acc_type == "bool" ? "int" : acc_type, real, limit_of(type, true), limit_of(type, false),
                        b.attrs().integer("p", 2)));
  const std::string index = by_rows ? "block" : "i";
  const auto kept = s.unravel(index, a.kept);
  s.line(fmt::format("const I base = {}; const i64 n = {};", s.offset(kept, a.kept_strides), s.number(count)));
  const auto loop = [&](const std::string& step) {
    s.line(by_rows ? "for (I r = t; r < (I)n; r += blockDim.x) {" : "for (I r = 0; r < (I)n; ++r) {");
    const auto at = s.unravel("r", a.reduced);
    const std::string offset = s.offset(at, a.reduced_strides);
    s.line(fmt::format("const C x = (C){};", s.load(x, "base + " + offset)));
    s.line(step);
    s.line("}");
  };
  if (lse) {
    s.line("R peak = LOWEST;");
    loop("peak = most<R>(peak, (R)x);");
    if (by_rows) s.line("peak = block_reduce(peak, Most());");
    s.line("if (isinf(peak)) { if (peak < (R)0) peak = (R)0; }");
  }
  s.line(fmt::format("C acc = {};", r.start));
  loop(fmt::format("acc = {};", r.step));
  if (by_rows) s.line(fmt::format("acc = block_reduce(acc, {});", r.merge));
  if (by_rows) s.line("if (t == 0) {");
  s.store(y, index, r.finish);
  if (by_rows) s.line("}");
  if (!by_rows) return s.launch_elements(b, outputs);
  const int threads = count >= 4096 ? 512 : count >= 512 ? 256 : count >= 128 ? 128 : 32;
  return s.launch_blocks(b, outputs, threads);
}

const Reducer* reducer_of(std::string_view name) {
  for (const Reducer& r : kReducers)
    if (name == r.name) return &r;
  return nullptr;
}

Status make_reduce(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  std::vector<int64_t> axes = b.attrs().integers("axes");
  const bool as_input = b.version() >= 18 || (b.version() >= 13 && b.node().op->name == "ReduceSum");
  if (as_input && b.has_input(1)) {
    CAMEO_ASSIGN(axes, b.ints(1));
  }
  if (axes.empty() && b.attrs().integer("noop_with_empty_axes") != 0) {
    // Each element alone is a set: what the reduction makes of one element.
    std::vector<char> none(x.dims.rank(), 0);
    return reduce(b, x, y, none, *reducer_of(b.node().op->name));
  }
  std::vector<char> is_reduced(x.dims.rank(), axes.empty() ? 1 : 0);
  for (int64_t axis : axes) is_reduced[axis_of(axis, x.dims.rank())] = 1;
  return reduce(b, x, y, is_reduced, *reducer_of(b.node().op->name));
}

Status make_global_pool(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  std::vector<char> is_reduced(x.dims.rank(), 1);
  is_reduced[0] = is_reduced[1] = 0;
  return reduce(b, x, b.output(0), is_reduced, *reducer_of(b.node().op->name));
}

// The first or last index of the best element; not a number is better than all.
Status make_arg_reduce(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis"), x.dims.rank());
  const int64_t outer = product(x.dims, 0, axis), length = x.dims[axis], inner = product(x.dims, axis + 1, x.dims.rank());
  if (outer * inner == 0) return {};
  if (length == 0) return error(ErrorCode::kInvalidInput, "there is no best of no elements");
  Source s;
  const bool last = b.attrs().integer("select_last_index") != 0;
  s.declare(
      fmt::format("typedef {} C;\ninline bool beats(C v, I i, C w, I j) {{\n  const bool vn = v != v, wn = w != w;\n"
                  "  if (vn || wn) return vn && wn ? i {} j : vn;\n  return v {} w || (v == w && i {} j);\n}}",
                  compute_type(b.in_type(0)), last ? ">" : "<", b.node().op->name == "ArgMax" ? ">" : "<", last ? ">" : "<"));
  const bool by_rows = length >= 256;
  const std::string index = by_rows ? "block" : "i";
  const auto at = s.unravel(index, Dims{outer, inner});
  const std::string n = s.number(length), step = s.number(inner);
  s.line(fmt::format("const I base = ({}) * {} * {} + {};", at[0], n, step, at[1]));
  s.line(fmt::format("I best = {};", by_rows ? fmt::format("t < {} ? t : 0", n) : "0"));
  s.line(fmt::format("C value = {};", s.load(x, fmt::format("base + best * {}", step))));
  s.line(by_rows ? fmt::format("for (I k = t + 256; k < {}; k += 256) {{", n) : fmt::format("for (I k = 1; k < {}; ++k) {{", n));
  s.line(fmt::format("const C v = {}; if (beats(v, k, value, best)) {{ value = v; best = k; }}",
                     s.load(x, fmt::format("base + k * {}", step))));
  s.line("}");
  if (!by_rows) {
    s.store(y, "i", "best");
    return s.launch_elements(b, outer * inner);
  }
  s.line("__shared__ C values[256]; __shared__ I indices[256];");
  s.line("values[t] = value; indices[t] = best; __syncthreads();");
  s.line("for (int m = 128; m; m >>= 1) {");
  s.line(
      "if (t < m && beats(values[t + m], indices[t + m], values[t], indices[t])) { values[t] = values[t + m]; indices[t] = indices[t + m]; "
      "}");
  s.line("__syncthreads();");
  s.line("}");
  s.line("if (t == 0) {");
  s.store(y, "block", "indices[0]");
  s.line("}");
  return s.launch_blocks(b, outer * inner, 256);
}

// Sums or products of what comes before, [outer, length, inner]: a block for each row.
Status scan_rows(StepBuilder& b, const Operand& x, const Operand& y, const Dims& rows, bool sum, bool exclusive, bool reverse) {
  const int threads = rows[1] <= 32 ? 32 : rows[1] <= 128 ? 128 : 256;
  Source s;
  s.declare(fmt::format("typedef {} C;", compute_type(b.in_type(0))));
  const auto at = s.unravel("block", Dims{rows[0], rows[2]});
  const std::string n = s.number(rows[1]), step = s.number(rows[2]), op = sum ? "+" : "*", none = sum ? "0" : "1";
  s.line("__shared__ C ends[32];");
  s.line(fmt::format("const int lane = t & 31, warp = t >> 5, warps = {};", threads / 32));
  s.line(fmt::format("C carried = {};", none));
  s.line(fmt::format("for (I from = 0; from < {}; from += {}) {{", n, threads));
  s.line(
      fmt::format("const I r = from + t, k = {}, o = (({}) * {} + k) * {} + {};", reverse ? n + " - 1 - r" : "r", at[0], n, step, at[1]));
  s.line(fmt::format("C v = {};", none));
  s.line(fmt::format("if (r < {}) v = {};", n, s.load(x, "o")));
  s.line(fmt::format(
      "for (int m = 1; m < 32; m <<= 1) {{ const C before = __shfl_up_sync(0xffffffffu, v, m); if (lane >= m) v = before {} v; }}", op));
  s.line("if (lane == 31) ends[warp] = v;");
  s.line("__syncthreads();");
  s.line("C before = carried;");
  s.line(
      fmt::format("for (int w = 0; w < warps; ++w) {{ if (w < warp) before = before {0} ends[w]; carried = carried {0} ends[w]; }}", op));
  if (exclusive) {
    s.line("const C left = __shfl_up_sync(0xffffffffu, v, 1);");
    s.line(fmt::format("v = lane ? before {} left : before;", op));
  } else {
    s.line(fmt::format("v = before {} v;", op));
  }
  s.line(fmt::format("if (r < {}) {{", n));
  s.store(y, "o", "v");
  s.line("}");
  s.line("__syncthreads();");
  s.line("}");
  return s.launch_blocks(b, rows[0] * rows[2], threads);
}

Status make_cumulative(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(const std::vector<int64_t> axes, b.ints(1));
  if (axes.size() != 1) return error(ErrorCode::kInvalidInput, "axis must be one number");
  const int64_t named = axes[0] < 0 ? axes[0] + static_cast<int64_t>(x.dims.rank()) : axes[0];
  if (named < 0 || named >= static_cast<int64_t>(x.dims.rank())) return error(ErrorCode::kInvalidInput, "axis is {}", axes[0]);
  const auto axis = static_cast<size_t>(named);
  const int64_t outer = product(x.dims, 0, axis), length = x.dims[axis], inner = product(x.dims, axis + 1, x.dims.rank());
  const Operand y = b.output(0);
  const bool sum = b.node().op->name == "CumSum", exclusive = b.attrs().integer("exclusive") != 0,
             reverse = b.attrs().integer("reverse") != 0;
  if (length > 16 && outer * inner <= kFewRows) return scan_rows(b, x, y, {outer, length, inner}, sum, exclusive, reverse);
  Source s;
  const auto at = s.unravel("i", Dims{outer, inner});
  const std::string n = s.number(length), step = s.number(inner);
  s.line(fmt::format("{} acc = {};", compute_type(b.in_type(0)), sum ? 0 : 1));
  s.line(fmt::format("for (I r = 0; r < {}; ++r) {{", n));
  s.line(fmt::format("const I k = {}, o = (({}) * {} + k) * {} + {};", reverse ? n + " - 1 - r" : "r", at[0], n, step, at[1]));
  if (exclusive) s.store(y, "o", "acc");
  s.line(fmt::format("acc = acc {} {};", sum ? "+" : "*", s.load(x, "o")));
  if (!exclusive) s.store(y, "o", "acc");
  s.line("}");
  return s.launch_elements(b, outer * inner);
}

}  // namespace

std::vector<DeviceOp> reduce_ops() {
  std::vector<DeviceOp> ops = {
      {"ArgMax", "", make_arg_reduce},
      {"ArgMin", "", make_arg_reduce},
      {"CumSum", "", make_cumulative, 0b10},
      {"CumProd", "", make_cumulative, 0b10},
  };
  for (const Reducer& r : kReducers)
    ops.push_back({r.name, "", std::string_view(r.name).starts_with("Global") ? make_global_pool : make_reduce, 0b10});
  return ops;
}

}  // namespace cameo::cuda
