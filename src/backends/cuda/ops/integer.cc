// MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv as ONNX has them: a thread for each element of the result, sums in int32
// that wrap around. What models are full of, products of quantised constants, comes as ai.cameo.QuantizedMatMul (quantized.cc).
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/ops/windows.h"
#include "ops/convolve.h"
#include "ops/quantized_matmul.h"

namespace cameo::cuda {
namespace {

using ops::QuantSide;

// What sums of such elements are added in.
const char* sum_type(DType type) { return is_small_float(type) ? "float" : "u32"; }

// The element less its zero point, if there is one.
std::string less_zero(Source& s, const Operand& x, const std::string& at, const Operand* zero, const std::string& zero_at) {
  const char* type = is_small_float(x.dtype) ? "(float)" : "(u32)(int)";
  const std::string value = type + s.load(x, at);
  return zero ? fmt::format("({} - {}{})", value, type, s.load(*zero, zero_at)) : value;
}

// An index into a scale or zero point that belongs to a matrix operand.
Result<std::string> parameter_index(Source& s, const Operand& parameter, const Dims& matrix, QuantSide side,
                                    std::span<const std::string> at, const char* what) {
  CAMEO_ASSIGN(const Dims strides, ops::quant_strides(parameter.dims, matrix, side, what));
  return s.offset(at, strides);
}

// Adds lines that leave the sum for element `i` of y in `sum`; gives the indices of the element.
Result<std::vector<std::string>> product_sum(StepBuilder& b, Source& s, const Dims& y, size_t a_input, size_t a_zero, size_t b_input,
                                             size_t b_zero) {
  CAMEO_ASSIGN(const Operand a, b.input(a_input));
  CAMEO_ASSIGN(const Operand w, b.input(b_input));
  const bool row = a.dims.rank() == 1, column = w.dims.rank() == 1;
  const std::vector<std::string> at = s.unravel("i", y);
  // Batch axes, then the row unless A is a vector, then the column unless B is one.
  const size_t batch = at.size() - (row ? 0 : 1) - (column ? 0 : 1);
  const auto indices = [&](const Dims& dims, bool vector, bool left) {
    std::vector<std::string> list;
    const size_t own = vector ? 0 : dims.rank() - 2;
    for (size_t k = 0; k < own; ++k) list.push_back(dims[k] == 1 ? "0" : at[batch - own + k]);
    if (vector) return list.push_back("k"), list;
    list.push_back(left ? at[batch] : "k");
    list.push_back(left ? "k" : at[batch + (row ? 0 : 1)]);
    return list;
  };
  const auto of_a = indices(a.dims, row, true), of_b = indices(w.dims, column, false);
  if (is_small_float(a.dtype) != is_small_float(w.dtype)) return error(ErrorCode::kUnsupported, "integers times 8-bit floats");
  s.line(fmt::format("{} sum = 0;", sum_type(a.dtype)));
  s.line(fmt::format("for (I k = 0; k < {}; ++k) {{", s.number(a.dims.back())));
  std::string left, right;
  const auto operand = [&](const Operand& o, const std::vector<std::string>& list, size_t zero_input, QuantSide side,
                           const char* what) -> Result<std::string> {
    const std::string index = s.offset(list, dense_strides(o.dims));
    if (!b.has_input(zero_input)) return less_zero(s, o, index, nullptr, "");
    CAMEO_ASSIGN(const Operand zero, b.input(zero_input));
    CAMEO_ASSIGN(const std::string zero_at, parameter_index(s, zero, o.dims, side, list, what));
    return less_zero(s, o, index, &zero, zero_at);
  };
  CAMEO_ASSIGN(left, operand(a, of_a, a_zero, QuantSide::kRows, "a_zero_point"));
  CAMEO_ASSIGN(right, operand(w, of_b, b_zero, QuantSide::kColumns, "b_zero_point"));
  s.line(fmt::format("sum += {} * {};", left, right));
  s.line("}");
  return at;
}

Status make_matmul_integer(StepBuilder& b) {
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  Source s;
  CAMEO_TRY(product_sum(b, s, y.dims, 0, 2, 1, 3));
  s.store(y, "i", "(int)sum");
  return s.launch_elements(b, y.dims.num_elements());
}

// Saturates `v`, a float that is rounded already, to y's type; NaN becomes the lowest value.
void store_saturated(Source& s, const Operand& y, const std::string& v) {
  const float low = y.dtype == DType::kInt8 ? -128.f : 0.f;
  s.store(y, "i", fmt::format("(int)({0} > {1} ? fminf({0}, {2}) : {1})", v, literal(low), literal(low + 255)));
}

Status make_qlinear_matmul(StepBuilder& b) {
  enum { kA, kAScale, kAZero, kB, kBScale, kBZero, kYScale, kYZero };
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  Source s;
  CAMEO_ASSIGN(const std::vector<std::string> at, product_sum(b, s, y.dims, kA, kAZero, kB, kBZero));
  const auto parameter = [&](size_t input, QuantSide side, const char* what) -> Result<std::string> {
    CAMEO_ASSIGN(const Operand o, b.input(input));
    CAMEO_ASSIGN(const std::string index, parameter_index(s, o, y.dims, side, at, what));
    return "(float)" + s.load(o, index);
  };
  CAMEO_ASSIGN(const std::string a_scale, parameter(kAScale, QuantSide::kRows, "a_scale"));
  CAMEO_ASSIGN(const std::string b_scale, parameter(kBScale, QuantSide::kColumns, "b_scale"));
  CAMEO_ASSIGN(const std::string y_scale, parameter(kYScale, QuantSide::kRows, "y_scale"));
  CAMEO_ASSIGN(const std::string y_zero, parameter(kYZero, QuantSide::kRows, "y_zero_point"));
  s.line(fmt::format("const float scale = __fdiv_rn(__fmul_rn({}, {}), {});", a_scale, b_scale, y_scale));
  const char* cast = is_small_float(b.in_type(kA)) ? "" : "(float)(int)";
  s.line(fmt::format("float v = __fadd_rn(__fmul_rn({}sum, scale), {});", cast, y_zero));
  if (is_small_float(y.dtype)) {
    s.store(y, "i", "v");
  } else {
    s.line("v = rintf(v);");
    store_saturated(s, y, "v");
  }
  return s.launch_elements(b, y.dims.num_elements());
}

// The same for a convolution; gives the name of the output channel.
Result<std::string> convolution_sum(StepBuilder& b, Source& s, const Dims& y, size_t x_input, size_t x_zero, size_t w_input,
                                    size_t w_zero) {
  CAMEO_ASSIGN(const Operand x, b.input(x_input));
  CAMEO_ASSIGN(const Operand w, b.input(w_input));
  const int64_t group = b.attrs().integer("group", 1);
  CAMEO_ASSIGN(const ops::ConvGeometry g, ops::ConvGeometry::make(window_attrs(b), group, x.dims, w.dims, y));
  const auto at = s.unravel("i", y);
  const std::vector<std::string> where(at.begin() + 2, at.end());
  s.line(fmt::format("const I m = {};", at[1]));
  s.line(fmt::format("const I first = {} * {};", s.quotient("m", y[1] / group), s.number(w.dims[1])));
  s.line("u32 sum = 0;");
  const Taps taps = open_taps(s, g.window, {x.dims.data() + 2, g.window.rank}, where);
  std::vector<std::string> source = {at[0], "first"}, tap = {"m", "0"};
  source.insert(source.end(), taps.position.begin(), taps.position.end());
  tap.insert(tap.end(), taps.tap.begin(), taps.tap.end());
  const Dims x_strides = dense_strides(x.dims), w_strides = dense_strides(w.dims);
  s.line(fmt::format("const I ix = {}, iw = {};", s.offset(source, x_strides), s.offset(tap, w_strides)));
  const auto operand = [&](const Operand& o, const std::string& index, size_t zero_input) -> Result<std::string> {
    if (!b.has_input(zero_input)) return less_zero(s, o, index, nullptr, "");
    CAMEO_ASSIGN(const Operand zero, b.input(zero_input));
    return less_zero(s, o, index, &zero, zero.dims.num_elements() > 1 ? "m" : "0");
  };
  CAMEO_ASSIGN(const std::string left, operand(x, fmt::format("ix + c * {}", s.number(x_strides[1])), x_zero));
  CAMEO_ASSIGN(const std::string right, operand(w, fmt::format("iw + c * {}", s.number(w_strides[1])), w_zero));
  s.line(fmt::format("for (I c = 0; c < {}; ++c) sum += {} * {};", s.number(w.dims[1]), left, right));
  close_taps(s, g.window);
  return std::string("m");
}

Status make_conv_integer(StepBuilder& b) {
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  Source s;
  CAMEO_TRY(convolution_sum(b, s, y.dims, 0, 2, 1, 3));
  s.store(y, "i", "(int)sum");
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_qlinear_conv(StepBuilder& b) {
  enum { kX, kXScale, kXZero, kW, kWScale, kWZero, kYScale, kYZero, kBias };
  const Operand y = b.output(0);
  if (y.dims.num_elements() == 0) return {};
  Source s;
  CAMEO_ASSIGN(const std::string channel, convolution_sum(b, s, y.dims, kX, kXZero, kW, kWZero));
  const auto one = [&](size_t input) -> Result<std::string> {
    CAMEO_ASSIGN(const Operand o, b.input(input));
    return s.load(o, o.dims.num_elements() > 1 ? channel : "0");
  };
  CAMEO_ASSIGN(const std::string x_scale, one(kXScale));
  CAMEO_ASSIGN(const std::string w_scale, one(kWScale));
  CAMEO_ASSIGN(const std::string y_scale, one(kYScale));
  CAMEO_ASSIGN(const std::string y_zero, one(kYZero));
  if (b.has_input(kBias)) {
    CAMEO_ASSIGN(const Operand bias, b.input(kBias));
    s.line(fmt::format("sum += (u32){};", s.load(bias, channel)));
  }
  s.line(fmt::format("const float scale = __fdiv_rn(__fmul_rn({}, {}), {});", x_scale, w_scale, y_scale));
  s.line(fmt::format("const float v = rintf(__fmul_rn((float)(int)sum, scale)) + (float){};", y_zero));
  store_saturated(s, y, "v");
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> integer_ops() {
  return {
      {"MatMulInteger", "", make_matmul_integer},
      {"ConvInteger", "", make_conv_integer},
      {"QLinearMatMul", "", make_qlinear_matmul},
      {"QLinearConv", "", make_qlinear_conv},
  };
}

}  // namespace cameo::cuda
