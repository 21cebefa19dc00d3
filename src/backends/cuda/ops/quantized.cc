// ai.cameo.QuantizedMatMul and ai.cameo.QuantizedConv (ops/cameo_quantized.h). Variants:
//   tensor cores  kernels/quantized_product.h: bytes as they are, with all that follows where it is a bias, an addend and an activation;
//                 windows of few channels are laid out as rows first, or pixels of one stride become the channels of one
//   float16       elsewhere: the numbers less their zero points are exact in 16 bits, and cublasLt adds in float32
//   plain         a thread for each sum: depthwise convolutions, and what would take too much memory
#include "backends/cuda/ops/quantized.h"

#include <algorithm>

#include "backends/cuda/gemm.h"
#include "backends/cuda/ops/ops.h"
#include "ops/channels_last.h"
#include "ops/convolve.h"

namespace cameo::cuda {
namespace {

using Problem = QuantizedProblem;
using Folded = QuantizedFactors;

constexpr size_t kOperands = ops::kQuantizedOperands;

// Where the window of an output row lies: batch, then an index an axis.
std::vector<std::string> window_of(Source& s, const Problem& p, const std::string& row) {
  Dims dims{p.rows / std::max<int64_t>(1, p.y_spatial.num_elements())};
  for (int64_t d : p.y_spatial) dims.push_back(d);
  return s.unravel(row, dims);
}

// Adds lines that find tap `tap` of that window; gives the row of X, and `inside` says whether there is one.
std::string position_of(Source& s, const Problem& p, const std::vector<std::string>& window, const std::string& tap) {
  Dims dims;
  for (size_t a = 0; a < p.window.rank; ++a) dims.push_back(p.window.axes[a].kernel);
  const auto of_tap = s.unravel(tap, dims);
  std::string inside = "true", position = window[0];
  for (size_t a = 0; a < p.window.rank; ++a) {
    const ops::WindowAxis& axis = p.window.axes[a];
    const std::string i = s.name("at"), extent = s.number(p.x_spatial[a]);
    s.line(fmt::format("const I {} = ({}) * {} - {} + ({}) * {};", i, window[a + 1], s.number(axis.stride), s.number(axis.begin), of_tap[a],
                       s.number(axis.dilation)));
    inside += fmt::format(" && {0} >= 0 && {0} < {1}", i, extent);
    position = fmt::format("({}) * {} + {}", position, extent, i);
  }
  s.line(fmt::format("const bool inside = {};", inside));
  return position;
}

// A convolution of few channels as one without strides: the pixels of a stride become the channels of one pixel, up to a multiple of 16.
struct Fold {
  int64_t channels = 0;         // of a pixel then; 0: it is not done
  int64_t stride[2], shift[2];  // pixels that become one; taps of weight zero before the first
  int64_t kernel[2], pad[2], extent[2];
};
Fold fold_of(const Problem& p) {
  Fold f;
  if (!p.convolves || p.depthwise || p.window.rank != 2 || p.channels % 16 == 0) return f;
  int64_t taps = 1, pixels = 1;
  for (size_t a = 0; a < 2; ++a) {
    const ops::WindowAxis& axis = p.window.axes[a];
    if (axis.dilation != 1) return f;
    f.stride[a] = axis.stride;
    f.pad[a] = (axis.begin + axis.stride - 1) / axis.stride;
    f.shift[a] = f.pad[a] * axis.stride - axis.begin;
    f.kernel[a] = (axis.kernel + f.shift[a] + axis.stride - 1) / axis.stride;
    f.extent[a] = (p.x_spatial[a] + axis.stride - 1) / axis.stride;
    taps *= f.kernel[a];
    pixels *= axis.stride;
  }
  const int64_t channels = (pixels * p.channels + 15) / 16 * 16;
  // Where rows of windows would not be much shorter.
  if (taps * channels <= 2 * p.k + 64) f.channels = channels;
  return f;
}

// to [batch, extents, channels] = the pixels of X.
Status fold_pixels(StepBuilder& b, const Problem& p, const Fold& f, const Operand& x, const Operand& to) {
  Source s;
  const auto at = s.unravel("i", Dims{to.dims[0], to.dims[1], to.dims[2], f.channels / 16});
  const std::string type = fmt::format("Vec<{}, 16>", storage_type(to.dtype)), channels = s.number(p.channels),
                    width = s.number(f.stride[1]);
  s.line(type + " r;");
  s.line("#pragma unroll");
  s.line(fmt::format("for (int u = 0; u < 16; ++u) {{ const int q = (int)({}) * 16 + u, pixel = q / (int){}; int v = {};", at[3], channels,
                     p.x_zero));
  s.line(fmt::format("const I y = ({}) * {} + pixel / {}, x = ({}) * {} + pixel % {};", at[1], s.number(f.stride[0]), width, at[2], width,
                     width));
  s.line(fmt::format("if (pixel < {} && y < {} && x < {}) v = (int){};", s.number(f.stride[0] * f.stride[1]), s.number(p.x_spatial[0]),
                     s.number(p.x_spatial[1]),
                     s.load(x, fmt::format("((({}) * {} + y) * {} + x) * {} + q - pixel * (int){}", at[0], s.number(p.x_spatial[0]),
                                           s.number(p.x_spatial[1]), channels, channels))));
  s.line("put(r.v[u], v); }");
  s.line(fmt::format("*({}*)({} + i * 16) = r;", type, s.write(to)));
  return s.launch_elements(b, to.dims.num_elements() / 16);
}

// The expression of the weight that belongs to a row of the folded kernel.
std::string folded_weight(Source& s, const Problem& p, const Fold& f, const Operand& from, const std::string& row,
                          const std::string& column) {
  const std::string channels = s.number(p.channels);
  s.line(fmt::format("const I tap = ({0}) / {1}, q = ({0}) % {1}, pixel = q / {2};", row, s.number(f.channels), channels));
  s.line(fmt::format("const I ky = tap / {} * {} + pixel / {} - {};", s.number(f.kernel[1]), s.number(f.stride[0]), s.number(f.stride[1]),
                     s.number(f.shift[0])));
  s.line(fmt::format("const I kx = tap % {} * {} + pixel % {} - {};", s.number(f.kernel[1]), s.number(f.stride[1]), s.number(f.stride[1]),
                     s.number(f.shift[1])));
  s.line(fmt::format("const bool real = pixel < {} && ky >= 0 && ky < {} && kx >= 0 && kx < {};", s.number(f.stride[0] * f.stride[1]),
                     s.number(p.window.axes[0].kernel), s.number(p.window.axes[1].kernel)));
  s.line(fmt::format("const I source = real ? (ky * {} + kx) * {} + q - pixel * {} : 0;", s.number(p.window.axes[1].kernel), channels,
                     channels));
  return fmt::format("(real ? (int){} : 0)", s.load(from, packed_index(s, p.k, "source", column)));
}

// acc [rows, n] = the sums, as int32.
Status plain_sums(StepBuilder& b, const Problem& p, const Operand& x, const Operand& w, const Operand& acc) {
  Source s;
  const auto at = s.unravel("i", Dims{p.rows, p.n});
  std::vector<std::string> window;
  if (p.convolves) window = window_of(s, p, at[0]);
  s.line("u32 sum = 0;");
  s.line(fmt::format("for (I tap = 0; tap < {}; ++tap) {{", s.number(p.taps)));
  std::string row = at[0];
  if (p.convolves) {
    row = position_of(s, p, window, "tap");
    s.line("if (!inside) continue;");
  }
  const std::string channels = s.number(p.channels), zero = s.number(p.x_zero);
  if (p.depthwise) {
    s.line(fmt::format("sum += (u32)(((int){} - (int){}) * (int){});", s.load(x, fmt::format("({}) * {} + {}", row, channels, at[1])), zero,
                       s.load(w, fmt::format("tap * {} + {}", s.number(p.n), at[1]))));
  } else {
    s.line(fmt::format("for (I c = 0; c < {0}; ++c) {{ const I r = tap * {0} + c;", channels));
    s.line(fmt::format("sum += (u32)(((int){} - (int){}) * (int){}); }}", s.load(x, fmt::format("({}) * {} + c", row, channels)), zero,
                       s.load(w, packed_index(s, p.k, "r", at[1]))));
  }
  s.line("}");
  s.store(acc, "i", "(int)sum");
  return s.launch_elements(b, p.rows * p.n);
}

// y = quantize(program(acc)); acc holds sums, or products that are scaled already.
Status finish(StepBuilder& b, const Problem& p, const ops::PointProgram& program, const Operand& acc, bool scaled) {
  const Operand y = b.output(0);
  Source s;
  const auto at = s.unravel("i", y.dims);
  std::vector<std::string> values = {"v0"};
  if (scaled) {
    s.line(fmt::format("const float v0 = {};", s.load(acc, "i")));
  } else {
    CAMEO_ASSIGN(Operand scale, b.input(2));
    s.line(fmt::format("const float v0 = (float){} * ({} * {});", s.load(acc, "i"), literal(p.x_scale), s.load(scale, at.back())));
  }
  for (size_t k = kOperands; k < b.num_inputs(); ++k) {
    CAMEO_ASSIGN(Operand o, b.input(k));
    const std::string e = s.load(o, s.offset(at, broadcast(o, y.dims).strides)), name = s.name("e");
    const size_t operand = k - kOperands;
    s.line(fmt::format("const float {} = {};", name,
                       p.is_bytes(operand) ? fmt::format("(float)((int){} - (int){}) * {}", e, literal(p.operand_zeros[operand]),
                                                         literal(p.operand_scales[operand]))
                                           : e));
    values.push_back(name);
  }
  const std::string result = program.code.empty() ? values[0] : emit_program(s, program, values);
  if (y.dtype != DType::kUint8 && y.dtype != DType::kInt8) {
    s.store(y, "i", result);
  } else {
    const float low = y.dtype == DType::kInt8 ? -128.f : 0.f;
    s.line(fmt::format("float q = rintf({} / {}) + {};", result, literal(p.y_scale), literal(static_cast<float>(p.y_zero))));
    s.line(
        fmt::format("q = q != q ? {} : fminf(fmaxf(q, {}), {});", literal(static_cast<float>(p.y_zero)), literal(low), literal(low + 255)));
    s.store(y, "i", "(int)q");
  }
  return s.launch_elements(b, y.dims.num_elements());
}

// Whether it was done so; if not, nothing was added.
Result<bool> by_tensor_cores(StepBuilder& b, const Problem& p, const ops::PointProgram& program) {
  if (!b.device().has_gpu() || b.device().info().arch() != 90 || p.depthwise || p.k == 0 || p.window.rank > 2) return false;
  const Operand y = b.output(0);
  QuantizedProductArgs a;
  QuantizedOperands o;
  a.n = static_cast<int32_t>(p.n);
  const bool rows = !p.convolves || p.plain_rows();
  const Fold fold = fold_of(p);
  const bool lay_out = p.channels % 16 != 0 && fold.channels == 0;
  const int64_t k = lay_out ? (p.k + 15) / 16 * 16 : p.k;
  if (p.rows > INT32_MAX || p.x_spatial.num_elements() > INT32_MAX || k > INT32_MAX || p.n > INT32_MAX ||
      (lay_out && p.rows * k > kMostWindowBytes))
    return false;
  const auto give_up = [&] {
    (void)b.take();
    return false;
  };
  CAMEO_ASSIGN(const Operand x, b.input(0));
  o.x = x;
  if (lay_out) {
    o.x = b.scratch(x.dtype, Dims{p.rows, k});
    CAMEO_TRY(windows_as_rows(b, p, x, o.x, std::to_string(p.x_zero), [](const std::string& v) { return "(int)" + v; }));
  }
  if (fold.channels) {
    a.batch = static_cast<int32_t>(p.rows / p.y_spatial.num_elements());
    o.x = b.scratch(x.dtype, Dims{a.batch, fold.extent[0], fold.extent[1], fold.channels});
    CAMEO_TRY(fold_pixels(b, p, fold, x, o.x));
    a.channels = static_cast<int32_t>(fold.channels);
    a.in_h = static_cast<int32_t>(fold.extent[0]), a.in_w = static_cast<int32_t>(fold.extent[1]);
    a.out_h = static_cast<int32_t>(p.y_spatial[0]), a.out_w = static_cast<int32_t>(p.y_spatial[1]);
    a.kernel_h = static_cast<int32_t>(fold.kernel[0]), a.kernel_w = static_cast<int32_t>(fold.kernel[1]);
    a.pad_h = static_cast<int32_t>(fold.pad[0]), a.pad_w = static_cast<int32_t>(fold.pad[1]);
    a.padding = static_cast<uint8_t>(p.x_zero);
  } else if (rows || lay_out) {
    a.batch = static_cast<int32_t>(p.rows);
    a.channels = static_cast<int32_t>(k);
  } else if (!set_windows(a, p)) {
    return give_up();
  }
  const int64_t weight_rows = fold.channels ? fold.kernel[0] * fold.kernel[1] * fold.channels : p.k;
  CAMEO_ASSIGN(o.w, tiled_weight(b, 1, fold.channels ? "folded" : "", DType::kInt8, weight_rows, p.n,
                                 [&](Source& s, const Operand& from, const std::string& row, const std::string& column) {
                                   return fold.channels ? folded_weight(s, p, fold, from, row, column)
                                                        : s.load(from, packed_index(s, p.k, row, column));
                                 }));
  const auto e = match_linear_epilogue(b, program, kOperands, y.dims);
  Folded f;
  if (e.whole) {
    f = set_epilogue(a, p, e, y.dtype);
    if (e.addend) {
      CAMEO_ASSIGN(o.residual, b.input(e.addend));
    }
  }
  CAMEO_ASSIGN(o.scale, folded_scale(b, p, f));
  if (f.bias || f.offset != 0 || p.x_zero != 0) {
    CAMEO_ASSIGN(o.bias, folded_bias(b, p, f));
  }
  o.y = e.whole ? y : b.scratch(DType::kFloat32, y.dims);
  CAMEO_ASSIGN(std::unique_ptr<Operation> product, make_quantized_product(b, a, o));
  if (!product) return give_up();
  b.add(std::move(product));
  if (!e.whole) CAMEO_TRY(finish(b, p, program, o.y, true));
  return true;
}

Status quantized(StepBuilder& b, const Problem& p) {
  if (b.output(0).dims.num_elements() == 0) return {};
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, kOperands));
  if (!b.value(1) || !b.value(2)) return error(ErrorCode::kUnsupported, "its weight is not known before the run");
  CAMEO_ASSIGN(const bool done, by_tensor_cores(b, p, program));
  if (done) return {};
  CAMEO_ASSIGN(const Operand x, b.input(0));
  if (p.depthwise || p.k == 0 || p.rows * (p.k * 2 + p.n * 4) > kMostWindowBytes) {
    CAMEO_ASSIGN(Operand w, b.input(1));
    const Operand acc = b.scratch(DType::kInt32, Dims{p.rows, p.n});
    CAMEO_TRY(plain_sums(b, p, x, w, acc));
    return finish(b, p, program, acc, false);
  }
  Gemm g;
  g.m = p.rows, g.n = p.n, g.k = p.k;
  g.a = b.scratch(DType::kFloat16, Dims{p.rows, p.k});
  CAMEO_TRY(windows_as_rows(b, p, x, g.a, "0", [&](const std::string& v) { return fmt::format("(int){} - ({})", v, p.x_zero); }));
  CAMEO_ASSIGN(g.b, b.prepared(1, "columns as float16", DType::kFloat16, Dims{p.n, p.k},
                               [&](StepBuilder& inner, const Operand& from, const Operand& to) {
                                 Source s;
                                 const auto at = s.unravel("i", to.dims);
                                 s.store(to, "i", s.load(from, packed_index(s, p.k, at[1], at[0])));
                                 return s.launch_elements(inner, to.dims.num_elements());
                               }));
  g.trans_b = true;
  g.y = b.scratch(DType::kFloat32, Dims{p.rows, p.n});
  CAMEO_TRY(add_gemm(b, g));
  return finish(b, p, program, g.y, false);
}

Status make_matmul(StepBuilder& b) {
  Problem p = quantized_numbers(b.attrs());
  p.k = p.channels = b.attrs().integer("k");
  p.rows = p.n == 0 ? 0 : b.out_dims(0).num_elements() / p.n;
  return quantized(b, p);
}

Status make_conv(StepBuilder& b) {
  if (b.shortcut()) return quantized_with_shortcut(b);
  if (b.pool()) return quantized_with_pool(b);
  CAMEO_ASSIGN(const Problem p, quantized_convolution(b.attrs(), b.in_dims(0), b.out_dims(0)));
  return quantized(b, p);
}

}  // namespace

QuantizedProblem quantized_numbers(const Attributes& attrs) {
  QuantizedProblem p;
  p.n = attrs.integer("n");
  p.x_scale = attrs.real("x_scale", 1);
  p.y_scale = attrs.real("y_scale", 1);
  p.x_zero = attrs.integer("x_zero");
  p.y_zero = attrs.integer("y_zero");
  p.operand_scales = attrs.reals("operand_scales");
  p.operand_zeros = attrs.integers("operand_zeros");
  return p;
}

Result<QuantizedProblem> quantized_convolution(const Attributes& attrs, const Dims& x_dims, const Dims& y_dims) {
  QuantizedProblem p = quantized_numbers(attrs);
  p.convolves = true;
  p.channels = attrs.integer("channels");
  const int64_t group = attrs.integer("group", 1);
  p.depthwise = group != 1;
  Dims w{p.n, p.channels / std::max<int64_t>(1, group)};
  for (int64_t extent : attrs.integers("kernel_shape")) {
    w.push_back(extent);
    p.taps *= extent;
  }
  const Dims x = ops::channels_first(x_dims), y = ops::channels_first(y_dims);
  CAMEO_ASSIGN(const ops::ConvGeometry g, ops::ConvGeometry::make(window_attrs(attrs), group, x, w, y));
  p.window = g.window;
  for (size_t a = 2; a < x.rank(); ++a) {
    p.x_spatial.push_back(x[a]);
    p.y_spatial.push_back(y[a]);
  }
  p.k = p.depthwise ? p.taps : p.taps * p.channels;
  p.rows = p.n == 0 ? 0 : y_dims.num_elements() / p.n;
  return p;
}

bool set_windows(QuantizedProductArgs& a, const QuantizedProblem& p) {
  const size_t r = p.window.rank;
  if (r < 1 || r > 2 || p.channels > INT32_MAX || p.x_spatial.num_elements() > INT32_MAX || p.y_spatial.num_elements() < 1) return false;
  const auto& w = p.window.axes[r - 1];
  a.channels = static_cast<int32_t>(p.channels);
  a.batch = static_cast<int32_t>(p.rows / p.y_spatial.num_elements());
  a.in_w = static_cast<int32_t>(p.x_spatial[r - 1]);
  a.out_w = static_cast<int32_t>(p.y_spatial[r - 1]);
  a.kernel_w = static_cast<int32_t>(w.kernel), a.stride_w = static_cast<int32_t>(w.stride);
  a.pad_w = static_cast<int32_t>(w.begin), a.dilation_w = static_cast<int32_t>(w.dilation);
  if (r == 2) {
    const auto& h = p.window.axes[0];
    a.in_h = static_cast<int32_t>(p.x_spatial[0]);
    a.out_h = static_cast<int32_t>(p.y_spatial[0]);
    a.kernel_h = static_cast<int32_t>(h.kernel), a.stride_h = static_cast<int32_t>(h.stride);
    a.pad_h = static_cast<int32_t>(h.begin), a.dilation_h = static_cast<int32_t>(h.dilation);
  }
  a.padding = static_cast<uint8_t>(p.x_zero);
  return true;
}

QuantizedFactors set_epilogue(QuantizedProductArgs& a, const QuantizedProblem& p, const LinearEpilogue& e, DType y) {
  const bool bytes = y == DType::kUint8 || y == DType::kInt8;
  // Where all up to the rounding is linear, the scale of y goes into the factors; zero points go into what is added in any case.
  QuantizedFactors f;
  a.activation = activation_of(e);
  a.low = e.low, a.high = e.high;
  const bool linear = a.activation == QuantizedProductArgs::Activation::kNone || a.activation == QuantizedProductArgs::Activation::kClamp;
  if (bytes && linear) {
    f.unit = 1 / p.y_scale;
    f.offset = static_cast<float>(p.y_zero);
    const float least = y == DType::kUint8 ? 0 : -128;
    a.low = std::max(a.low * f.unit + f.offset, least);
    a.high = std::min(a.high * f.unit + f.offset, least + 255);
    if (a.low == least && a.high == least + 255) a.activation = QuantizedProductArgs::Activation::kNone;
  } else if (bytes) {
    a.y_factor = 1 / p.y_scale;
    a.y_offset = static_cast<float>(p.y_zero);
  }
  f.bias = e.bias;
  if (e.addend) {
    const size_t operand = e.addend - kOperands;
    a.residual_scale = f.unit * (p.is_bytes(operand) ? p.operand_scales[operand] : 1);
    if (operand < p.operand_zeros.size()) f.offset -= static_cast<float>(p.operand_zeros[operand]) * a.residual_scale;
  }
  return f;
}

Status windows_as_rows(StepBuilder& b, const QuantizedProblem& p, const Operand& x, const Operand& to, const std::string& outside,
                       const std::function<std::string(const std::string&)>& value, const std::string& number) {
  Source s;
  // Up to 16 bytes a thread.
  int64_t each = 16 / static_cast<int64_t>(dtype_size(to.dtype));
  while (to.dims[1] % each != 0) each /= 2;
  const Dims groups{p.rows, to.dims[1] / each};
  const auto at = s.unravel("i", groups);
  const std::string type = fmt::format("Vec<{}, {}>", storage_type(to.dtype), each), channels = s.number(p.channels);
  std::vector<std::string> window;
  if (p.convolves) window = window_of(s, p, at[0]);
  s.line(fmt::format("{} r;", type));
  s.line("#pragma unroll");
  s.line(fmt::format("for (int u = 0; u < {}; ++u) {{", each));
  s.line(fmt::format("const I k = ({}) * {} + u; {} v = 0; if (k < {}) {{", at[1], each, number, s.number(p.k)));
  if (p.convolves) {
    s.line(fmt::format("const I tap = {}, channel = k - tap * {};", s.quotient("k", p.channels), channels));
    const std::string row = position_of(s, p, window, "tap");
    s.line(fmt::format("v = {};", outside));
    s.line(fmt::format("if (inside) v = {};", value(s.load(x, fmt::format("({}) * {} + channel", row, channels)))));
  } else {
    s.line(fmt::format("v = {};", value(s.load(x, fmt::format("({}) * {} + k", at[0], s.number(p.k))))));
  }
  s.line("} put(r.v[u], v); }");
  s.line(fmt::format("*({}*)({} + i * {}) = r;", type, s.write(to), each));
  return s.launch_elements(b, groups.num_elements());
}

Result<Operand> folded_scale(StepBuilder& b, const QuantizedProblem& p, const QuantizedFactors& f) {
  const int64_t columns = padded_columns(p.n);
  const float factor = p.x_scale * f.unit;
  return b.prepared(2, fmt::format("{} columns by {}", columns, factor), DType::kFloat32, Dims{columns},
                    [&](StepBuilder& inner, const Operand& from, const Operand& to) {
                      Source s;
                      s.store(to, "i", fmt::format("i < {} ? {} * {} : 0.f", s.number(p.n), literal(factor), s.load(from, "i")));
                      return s.launch_elements(inner, columns);
                    });
}

Result<Operand> folded_bias(StepBuilder& b, const QuantizedProblem& p, const QuantizedFactors& f) {
  const int64_t columns = padded_columns(p.n);
  const Tensor* bias = f.bias ? b.value(f.bias) : nullptr;
  const std::string form = fmt::format("addends of {} columns by {} {} {} {} {} {}", columns, p.x_zero, p.x_scale, f.unit, f.offset,
                                       b.value(2)->raw(), bias ? bias->raw() : nullptr);
  return b.prepared(1, form, DType::kFloat32, Dims{columns}, [&](StepBuilder& inner, const Operand& from, const Operand& to) -> Status {
    CAMEO_ASSIGN(const Operand scale, inner.constant(*b.value(2)));
    Source s;
    s.line(fmt::format("if (i >= {}) {{ put({}[i], 0.f); return; }}", s.number(p.n), s.write(to)));
    s.line("i64 sum = 0;");
    if (p.x_zero != 0)
      s.line(fmt::format("for (I r = 0; r < {}; ++r) sum += (i64){};", s.number(p.k), s.load(from, packed_index(s, p.k, "r", "i"))));
    s.line(
        fmt::format("double v = -(double)(sum * ({})) * {} * {};", p.x_zero, literal(static_cast<double>(p.x_scale)), s.load(scale, "i")));
    if (bias) {
      CAMEO_ASSIGN(const Operand addend, inner.constant(*bias));
      s.line(fmt::format("v += {};", s.load(addend, "i")));
    }
    s.store(to, "i", fmt::format("(float)(v * {} + {})", literal(static_cast<double>(f.unit)), literal(static_cast<double>(f.offset))));
    return s.launch_elements(inner, columns);
  });
}

std::string packed_index(Source& s, int64_t k, const std::string& row, const std::string& column) {
  return fmt::format("((({1}) / 16 * {2} + ({0}) / 4) * 16 + ({1}) % 16) * 4 + ({0}) % 4", row, column, s.number((k + 3) / 4));
}

std::vector<DeviceOp> quantized_ops() {
  return {
      {"QuantizedMatMul", "ai.cameo", make_matmul},
      {"QuantizedConv", "ai.cameo", make_conv},
  };
}

}  // namespace cameo::cuda
