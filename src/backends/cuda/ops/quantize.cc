// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, MatMulInteger: a thread for each element.
#include "ops/quantize.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/quantized_operation.h"

namespace cameo::cuda {
namespace {

// The index of the scale of element i.
std::string scale_index(Source& s, const ops::QuantLayout& q) {
  const auto at = s.unravel("i", Dims{q.outer, q.length, q.inner});
  std::string text = "0";
  const auto add = [&](const std::string& index, int64_t step) {
    if (step != 0) text += fmt::format(" + ({}) * {}", index, s.number(step));
  };
  add(at[0], q.outer_step);
  if (q.block_step != 0) add(q.block == 1 ? at[1] : s.quotient("(" + at[1] + ")", q.block), q.block_step);
  add(at[2], q.inner_step);
  return text;
}

struct Range {
  double least, most;
};
Range range_of(DType t) {
  switch (t) {
    case DType::kInt8:
      return {-128, 127};
    case DType::kInt16:
      return {-32768, 32767};
    case DType::kUint16:
      return {0, 65535};
    case DType::kInt4:
      return {-8, 7};
    case DType::kUint4:
      return {0, 15};
    case DType::kInt2:
      return {-2, 1};
    case DType::kUint2:
      return {0, 3};
    default:
      return {0, 255};
  }
}

// Adds lines; gives what is stored for x / scale + zero.
std::string quantized(StepBuilder& b, Source& s, const Operand& y, const std::string& x, const std::string& scale,
                      const std::string& zero) {
  const Range range = range_of(y.dtype);
  const int64_t asked = b.attrs().integer("precision");
  const DType precision = asked == 0 ? b.in_type(1) : static_cast<DType>(asked);
  const std::string v = s.name("value");
  s.line(fmt::format("float {} = (float){} / (float){};", v, x, scale));
  if (precision == DType::kFloat16 || precision == DType::kBfloat16)
    s.line(fmt::format("{{ {0} h; put(h, {1}); {1} = get(h); }}", storage_type(precision), v));
  if (is_small_float(y.dtype)) {
    const bool coded = y.dtype != DType::kFloat4E2M1;
    const std::string sum = fmt::format("{} + {}", v, zero);
    if (y.dtype == DType::kFloat8E4M3FN && b.attrs().integer("saturate", 1) != 0) return float8_code(b, s, sum);
    return coded ? fmt::format("{}::code({}, {})", storage_type(y.dtype), sum, b.attrs().integer("saturate", 1) != 0) : sum;
  }
  s.line(fmt::format("{0} = rintf({0}) + {1};", v, zero));
  s.line(fmt::format("{0} = {0} > {1} ? fminf({0}, {2}) : {1};", v, literal(static_cast<float>(range.least)),
                     literal(static_cast<float>(range.most))));
  return "(int)" + v;
}

Status make_quantize(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand scale, b.input(1));
  const Operand y = b.output(0);
  CAMEO_ASSIGN(const ops::QuantLayout q,
               ops::quant_layout(x.dims, scale.dims, b.attrs().integer("axis", 1), b.attrs().integer("block_size")));
  Operand zero;
  if (b.has_input(2)) {
    CAMEO_ASSIGN(zero, b.input(2));
  }
  // Without blocks scales are read with strides, and several elements at once.
  if (q.block_step == 0 || q.block == 1) {
    const Dims dims{q.outer, q.length, q.inner}, strides{q.outer_step, q.block_step, q.inner_step};
    std::vector<Strided> from = {dense(x.seen_as(dims)), {scale, strides, 0}};
    if (zero.present()) from.push_back({zero, strides, 0});
    return map(b, dims, dense(y.seen_as(dims)), from, [&](Source& s, std::span<const std::string> v) {
      return quantized(b, s, y, v[0], v[1], zero.present() ? "(float)" + v[2] : "0.f");
    });
  }
  Source s;
  s.line(fmt::format("const I k = {};", scale_index(s, q)));
  const std::string zero_at = zero.present() ? "(float)" + s.load(zero, "k") : "0.f";
  s.store(y, "i", quantized(b, s, y, s.load(x, "i"), s.load(scale, "k"), zero_at));
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_dequantize(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand scale, b.input(1));
  const Operand y = b.output(0);
  CAMEO_ASSIGN(const ops::QuantLayout q,
               ops::quant_layout(x.dims, scale.dims, b.attrs().integer("axis", 1), b.attrs().integer("block_size")));
  Source s;
  s.line(fmt::format("const I k = {};", scale_index(s, q)));
  std::string zero = "0";
  if (b.has_input(2)) {
    CAMEO_ASSIGN(Operand z, b.input(2));
    zero = s.load(z, "k");
  }
  const char* wide = is_small_float(x.dtype) ? "float" : "i64";
  s.store(y, "i", fmt::format("(float)(({0}){1} - ({0}){2}) * (float){3}", wide, s.load(x, "i"), zero, s.load(scale, "k")));
  return s.launch_elements(b, y.dims.num_elements());
}

// uint8, with a scale and zero point from the range of all elements: one block.
Status make_dynamic_quantize(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const Operand y = b.output(0), scale = b.output(1), zero = b.output(2);
  Source range;
  range.line("float low = 0.f, high = 0.f;");
  range.line(fmt::format("for (I k = t; k < {}; k += blockDim.x) {{ const float v = {}; low = fminf(low, v); high = fmaxf(high, v); }}",
                         range.number(x.dims.num_elements()), range.load(x, "k")));
  range.line("low = block_reduce(low, Least()); high = block_reduce(high, Most());");
  range.line("const float scale = (high - low) / 255.f;");
  range.line("const float z = scale == 0.f ? 0.f : rintf(fminf(fmaxf(0.f - low / scale, 0.f), 255.f));");
  range.line(fmt::format("if (t == 0) {{ put({}[0], scale); put({}[0], (int)z); }}", range.write(scale), range.write(zero)));
  CAMEO_TRY(range.launch_blocks(b, 1, 1024));
  Source s;
  s.line(fmt::format("const float scale = {}; const float v = scale == 0.f ? {} : rintf({} / scale) + (float){};", s.load(scale, "0"),
                     s.load(zero, "0"), s.load(x, "i"), s.load(zero, "0")));
  s.store(y, "i", "(int)fminf(fmaxf(v, 0.f), 255.f)");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::string float8_code(const StepBuilder& b, Source& s, const std::string& value) {
  const std::string type = storage_type(DType::kFloat8E4M3FN);
  if (b.device().info().arch() < 89) return fmt::format("{}::code({}, true)", type, value);
  s.declare(fmt::format(R"(#ifdef __HIP__
inline Code e4m3_code(float x) {{ return {}::code(x, true); }}
#else
inline Code e4m3_code(float x) {{ u16 r; asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(0.f), "f"(x)); Code c; c.b = (u8)r; return c; }}
#endif)",
                        type));
  return fmt::format("e4m3_code({})", value);
}

Status round_to_float8(StepBuilder& b, const Operand& x, const Operand& codes, float scale) {
  const Dims flat{codes.dims.num_elements()};
  const Operand from[] = {x.seen_as(flat)};
  return map(b, codes.seen_as(flat), from,
             [&](Source& s, std::span<const std::string> v) { return float8_code(b, s, fmt::format("{} / {}", v[0], literal(scale))); });
}

std::vector<DeviceOp> quantize_ops() {
  return {
      {"QuantizeLinear", "", make_quantize},
      {"DequantizeLinear", "", make_dequantize},
      {"DynamicQuantizeLinear", "", make_dynamic_quantize},
  };
}

}  // namespace cameo::cuda
