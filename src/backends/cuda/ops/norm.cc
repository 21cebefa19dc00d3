// Operators that normalise rows: a block takes a row, in two or three passes over it, which the caches hold. Moments and sums are
// float32 (float64 for float64).
#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/quantized_operation.h"
#include "backends/cuda/simplify.h"

namespace cameo::cuda {
namespace {

int threads_for(int64_t length) { return length <= 64 ? 32 : length <= 512 ? 128 : length <= 4096 ? 256 : 1024; }

std::string real_of(const StepBuilder& b) { return b.in_type(0) == DType::kFloat64 ? "double" : "float"; }

// Rows [outer, length, inner], an element of a row at a step of `inner`.
struct Rows {
  int64_t outer = 1, length = 1, inner = 1;
};

// Lines up to `base`, the first element of the row, and the number of elements as `n`.
void open_rows(Source& s, const Rows& rows, const std::string& real) {
  s.declare("typedef " + real + " R;");
  const auto at = s.unravel("block", Dims{rows.outer, rows.inner});
  s.line(fmt::format("const I n = {}, step = {};", s.number(rows.length), rows.inner == 1 ? "1" : s.number(rows.inner)));
  s.line(fmt::format("const I base = ({}) * n * step + {};", at[0], at[1]));
}

Status make_softmax(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  const auto rank = static_cast<int64_t>(x.dims.rank());
  const bool matrix = b.version() < 13;
  int64_t axis = b.attrs().integer("axis", matrix ? 1 : -1);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) return error(ErrorCode::kInvalidModel, "axis is {}, but the input has rank {}", axis, rank);
  Rows rows;
  for (int64_t i = 0; i < rank; ++i)
    (i < axis ? rows.outer : matrix || i == axis ? rows.length : rows.inner) *= x.dims[static_cast<size_t>(i)];
  if (x.dims.num_elements() == 0) return {};
  const std::string_view op = b.node().op->name;
  Source s;
  open_rows(s, rows, real_of(b));
  s.line("R peak = -__int_as_float(0x7f800000);");
  s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) peak = most<R>(peak, {});", s.load(x, "base + k * step")));
  s.line("peak = block_reduce(peak, Most());");
  if (op == "Hardmax") {
    // The first of the largest.
    s.line("I first = n;");
    s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) if ((R){} == peak && k < first) first = k;", s.load(x, "base + k * step")));
    s.line("first = block_reduce(first, Least());");
    s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) put({}[base + k * step], k == first ? 1 : 0);", s.write(y)));
    return s.launch_blocks(b, rows.outer * rows.inner, threads_for(rows.length));
  }
  s.line("R sum = 0;");
  s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) sum += exp({} - peak);", s.load(x, "base + k * step")));
  s.line("sum = block_reduce(sum, Plus());");
  if (op == "LogSoftmax") {
    s.line("const R less = peak + log(sum);");
    s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) put({}[base + k * step], {} - less);", s.write(y),
                       s.load(x, "base + k * step")));
  } else {
    s.line("const R scale = (R)1 / sum;");
    s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) put({}[base + k * step], exp({} - peak) * scale);", s.write(y),
                       s.load(x, "base + k * step")));
  }
  return s.launch_blocks(b, rows.outer * rows.inner, threads_for(rows.length));
}

// Moments of the row as `mean` and `rstd`.
void moments(Source& s, const Operand& x, float epsilon, bool centred) {
  if (centred) {
    s.line("R mean = 0;");
    s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) mean += {};", s.load(x, "base + k * step")));
    s.line("mean = block_reduce(mean, Plus()) / (R)n;");
  } else {
    s.line("const R mean = 0;");
  }
  s.line("R var = 0;");
  s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) {{ const R d = {} - mean; var += d * d; }}", s.load(x, "base + k * step")));
  s.line(fmt::format("const R rstd = (R)1 / sqrt(block_reduce(var, Plus()) / (R)n + (R){});", literal(epsilon)));
}

// An operand that broadcasts to the extents of x from `axis` on, at element k of a row.
std::string at_column(Source& s, const Operand& o, const Dims& x, size_t axis) {
  Dims columns;
  for (size_t i = axis; i < x.rank(); ++i) columns.push_back(x[i]);
  if (o.dims.num_elements() == columns.num_elements()) return s.load(o, "k");
  if (o.dims.num_elements() == 1) return s.load(o, "0");
  Operand trailing = o;
  while (trailing.dims.rank() > columns.rank()) trailing.dims.erase(0);
  const auto at = s.unravel("k", columns);
  return s.load(o, s.offset(at, broadcast(trailing, columns).strides));
}

Status make_rows_norm(StepBuilder& b, const Operand& rounded, float rounding, bool& is_rounded) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand scale, b.input(1));
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis", -1), x.dims.rank());
  const Rows rows{product(x.dims, 0, axis), product(x.dims, axis, x.dims.rank()), 1};
  if (x.dims.num_elements() == 0) return {};
  const bool centred = b.node().op->name == "LayerNormalization";
  // Rows with a weight of their length, no statistics asked for: kernels/norm.h.
  const bool whole = scale.dims.num_elements() == rows.length && (!b.has_input(2) || b.in_dims(2).num_elements() == rows.length);
  if (whole && b.in_type(1) == b.in_type(0) && x.dtype == y.dtype && x.dtype != DType::kFloat64 && !b.has_output(1) && !b.has_output(2)) {
    CAMEO_ASSIGN(const Operand weight, b.input_as(1, x.dtype));
    Operand bias;
    if (b.has_input(2)) {
      CAMEO_ASSIGN(bias, b.input_as(2, x.dtype));
    }
    if (try_norm(b, centred ? NormKind::kLayer : NormKind::kRms, rows.outer, rows.length, b.attrs().real("epsilon", 1e-5f), x, weight, bias,
                 y, rounded, 1 / rounding)) {
      is_rounded = true;
      return {};
    }
  }
  Source s;
  open_rows(s, rows, real_of(b));
  moments(s, x, b.attrs().real("epsilon", 1e-5f), centred);
  s.line("for (I k = t; k < n; k += blockDim.x) {");
  std::string value = fmt::format("({} - mean) * rstd * {}", s.load(x, "base + k"), at_column(s, scale, x.dims, axis));
  if (b.has_input(2)) {
    CAMEO_ASSIGN(Operand bias, b.input(2));
    value += " + " + at_column(s, bias, x.dims, axis);
  }
  s.store(y, "base + k", value);
  s.line("}");
  if (centred && (b.has_output(1) || b.has_output(2))) {
    s.line("if (t == 0) {");
    if (b.has_output(1)) s.store(b.output(1), "block", "mean");
    if (b.has_output(2)) s.store(b.output(2), "block", "rstd");
    s.line("}");
  }
  return s.launch_blocks(b, rows.outer, threads_for(rows.length));
}

// With a rounding that was joined to it (Simplified::roundings), the norm's result is written in 8-bit floats too.
Status make_layer_norm(StepBuilder& b) {
  Operand rounded;
  float rounding = 1;
  if (b.has_output(kNormRounding.output)) {
    rounded = b.output(kNormRounding.output);
    rounding = b.value(kNormRounding.scale)->data<float>()[0];
  }
  bool is_rounded = false;
  CAMEO_TRY(make_rows_norm(b, rounded, rounding, is_rounded));
  if (!rounded.present() || is_rounded) return {};
  return round_to_float8(b, b.output(0), rounded, rounding);
}

// InstanceNormalization is the case of a group for each channel.
Status make_group_norm(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand scale, b.input(1));
  CAMEO_ASSIGN(Operand bias, b.input(2));
  const Operand y = b.output(0);
  if (x.dims.num_elements() == 0) return {};
  const int64_t channels = x.dims[1], groups = b.attrs().integer("num_groups", channels), size = product(x.dims, 2, x.dims.rank()),
                per_group = channels / groups;
  Source s;
  open_rows(s, {x.dims[0] * groups, per_group * size, 1}, real_of(b));
  moments(s, x, b.attrs().real("epsilon", 1e-5f), true);
  const std::string group = s.name("g");
  s.line(fmt::format("const I {0} = block - {1} * {2};", group, s.quotient("block", groups), s.number(groups)));
  s.line("for (I k = t; k < n; k += blockDim.x) {");
  if (scale.dims.num_elements() == groups && per_group != 1)
    s.line(fmt::format("const I c = {};", group));
  else
    s.line(fmt::format("const I c = {} * {} + {};", group, s.number(per_group), s.quotient("k", size)));
  s.store(y, "base + k", fmt::format("({} - mean) * rstd * {} + {}", s.load(x, "base + k"), s.load(scale, "c"), s.load(bias, "c")));
  s.line("}");
  return s.launch_blocks(b, x.dims[0] * groups, threads_for(per_group * size));
}

Status make_batch_norm(StepBuilder& b) {
  if (b.attrs().integer("training_mode") != 0) return error(ErrorCode::kUnsupported, "BatchNormalization that trains");
  for (size_t i = 1; i < b.num_outputs(); ++i)
    if (b.has_output(i)) return error(ErrorCode::kUnsupported, "BatchNormalization with statistics as outputs");
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  Operand p[4];
  for (size_t i = 0; i < 4; ++i) {
    CAMEO_ASSIGN(p[i], b.input(i + 1));
  }
  const int64_t channels = x.dims.rank() > 1 ? x.dims[1] : 1, size = product(x.dims, 2, x.dims.rank());
  if (p[0].dims.num_elements() != channels) return error(ErrorCode::kUnsupported, "BatchNormalization that is not per channel");
  Source s;
  s.declare("typedef " + real_of(b) + " R;");
  const auto at = s.unravel("i", Dims{x.dims.rank() > 0 ? x.dims[0] : 1, channels, size});
  s.line(fmt::format("const I c = {};", at[1]));
  s.line(fmt::format("const R m = {} * (R)1 / sqrt((R){} + (R){});", s.load(p[0], "c"), s.load(p[3], "c"),
                     literal(b.attrs().real("epsilon", 1e-5f))));
  s.store(y, "i", fmt::format("({} - {}) * m + {}", s.load(x, "i"), s.load(p[2], "c"), s.load(p[1], "c")));
  return s.launch_elements(b, y.dims.num_elements());
}

// Moments over any axes; a block for each set of elements that share them.
Status make_mean_variance(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  if (x.dims.num_elements() == 0) return {};
  const Dims strides = dense_strides(x.dims);
  std::vector<char> reduced(x.dims.rank(), 0);
  for (int64_t axis : b.attrs().integers("axes")) reduced[axis_of(axis, x.dims.rank())] = 1;
  Dims inside, inside_strides, outside, outside_strides;
  for (size_t a = 0; a < x.dims.rank(); ++a) {
    (reduced[a] ? inside : outside).push_back(x.dims[a]);
    (reduced[a] ? inside_strides : outside_strides).push_back(strides[a]);
  }
  Source s;
  s.declare("typedef " + real_of(b) + " R;");
  s.line(
      fmt::format("const I base = {}, n = {};", s.offset(s.unravel("block", outside), outside_strides), s.number(inside.num_elements())));
  const auto loop = [&](const auto& body) {
    s.line("for (I k = t; k < n; k += blockDim.x) {");
    const std::string at = s.name("at");
    s.line(fmt::format("const I {} = base + {};", at, s.offset(s.unravel("k", inside), inside_strides)));
    s.line(body(at));
    s.line("}");
  };
  s.line("R mean = 0, var = 0;");
  loop([&](const std::string& at) { return fmt::format("mean += {};", s.load(x, at)); });
  s.line("mean = block_reduce(mean, Plus()) / (R)n;");
  loop([&](const std::string& at) { return fmt::format("const R d = {} - mean; var += d * d;", s.load(x, at)); });
  s.line("const R deviation = sqrt(block_reduce(var, Plus()) / (R)n) + (R)1e-9;");
  loop([&](const std::string& at) { return fmt::format("put({}[{}], ({} - mean) / deviation);", s.write(y), at, s.load(x, at)); });
  return s.launch_blocks(b, outside.num_elements(), threads_for(inside.num_elements()));
}

Status make_lp_norm(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  const size_t axis = axis_of(b.attrs().integer("axis", -1), x.dims.rank());
  const Rows rows{product(x.dims, 0, axis), x.dims[axis], product(x.dims, axis + 1, x.dims.rank())};
  if (x.dims.num_elements() == 0) return {};
  const bool one = b.attrs().integer("p", 2) == 1;
  Source s;
  open_rows(s, rows, real_of(b));
  s.line("R sum = 0;");
  s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) {{ const R v = {}; sum += {}; }}", s.load(x, "base + k * step"),
                     one ? "fabs(v)" : "v * v"));
  s.line("sum = block_reduce(sum, Plus());");
  s.line(fmt::format("const R norm = {};", one ? "sum" : "sqrt(sum)"));
  s.line(fmt::format("for (I k = t; k < n; k += blockDim.x) put({}[base + k * step], norm == (R)0 ? (R)0 : {} / norm);", s.write(y),
                     s.load(x, "base + k * step")));
  return s.launch_blocks(b, rows.outer * rows.inner, threads_for(rows.length));
}

// y = x / (bias + alpha / size * sum of squares over the neighbouring channels) ^ beta
Status make_lrn(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0);
  if (x.dims.num_elements() == 0) return {};
  const int64_t size = b.attrs().integer("size", 1), inner = product(x.dims, 2, x.dims.rank());
  Source s;
  s.declare("typedef " + real_of(b) + " R;");
  const auto at = s.unravel("i", Dims{x.dims[0], x.dims[1], inner});
  const std::string channels = s.number(x.dims[1]), step = s.number(inner);
  s.line(fmt::format("const I c = {};", at[1]));
  s.line(fmt::format("const I low = c - {0} < 0 ? 0 : c - {0}, high = c + {1} >= {2} ? {2} - 1 : c + {1};", s.number((size - 1) / 2),
                     s.number(size / 2), channels));
  s.line("R sum = 0;");
  s.line(
      fmt::format("for (I k = low; k <= high; ++k) {{ const R v = {}; sum += v * v; }}", s.load(x, fmt::format("i + (k - c) * {}", step))));
  s.store(y, "i",
          fmt::format("{} / pow((R){} + (R){} * sum, (R){})", s.load(x, "i"), literal(b.attrs().real("bias", 1)),
                      literal(b.attrs().real("alpha", 1e-4f) / static_cast<float>(size)), literal(b.attrs().real("beta", 0.75f))));
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> norm_ops() {
  return {
      {"Softmax", "", make_softmax},
      {"LogSoftmax", "", make_softmax},
      {"Hardmax", "", make_softmax},
      {"LayerNormalization", "", make_layer_norm},
      {"RMSNormalization", "", make_layer_norm},
      {"GroupNormalization", "", make_group_norm},
      {"InstanceNormalization", "", make_group_norm},
      {"BatchNormalization", "", make_batch_norm},
      {"LpNormalization", "", make_lp_norm},
      {"LRN", "", make_lrn},
      {"MeanVarianceNormalization", "", make_mean_variance},
  };
}

}  // namespace cameo::cuda
