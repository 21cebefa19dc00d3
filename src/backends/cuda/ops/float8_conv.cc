// ai.cameo.Float8Conv: convolutions of 8-bit floats. Variants:
//   tensor cores  kernels/quantized_product.h, with all that follows where it is a bias, an addend and an activation
//   float16       elsewhere: windows laid out as rows, for 8-bit floats are exact in 16 bits, and cublasLt adds in float32
//   plain         a thread for each sum, where there is little to do or rows would take too much memory
#include "backends/cuda/gemm.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/ops/quantized.h"

namespace cameo::cuda {
namespace {

constexpr DType kFloat8 = DType::kFloat8E4M3FN;
constexpr size_t kOperands = 3;                // inputs before those of the program
constexpr int64_t kLittle = int64_t{1} << 20;  // products of two numbers

// Whether it was done so; if not, nothing was added.
Result<bool> by_tensor_cores(StepBuilder& b, const QuantizedProblem& p, const ops::PointProgram& program) {
  if (!b.device().has_gpu() || b.device().info().arch() != 90 || p.window.rank > 2 || p.channels % 16 != 0 || p.n % 16 != 0) return false;
  const Operand y = b.output(0);
  const LinearEpilogue e = match_linear_epilogue(b, program, kOperands, y.dims);
  QuantizedProductArgs a;
  QuantizedOperands o;
  if (!e.whole || !set_windows(a, p)) return false;
  a.n = static_cast<int32_t>(p.n);
  CAMEO_ASSIGN(o.x, b.input(0));
  o.y = y;
  const QuantizedFactors f = set_epilogue(a, p, e, y.dtype);
  if (y.dtype == kFloat8) a.y_factor = 1 / p.y_scale;
  if (e.addend) {
    CAMEO_ASSIGN(o.residual, b.input(e.addend));
  }
  CAMEO_ASSIGN(o.scale, folded_scale(b, p, f));
  if (f.bias) {
    CAMEO_ASSIGN(o.bias, folded_bias(b, p, f));
  }
  CAMEO_ASSIGN(o.w, tiled_weight(b, 1, "", kFloat8, p.k, p.n,
                                 [&](Source& s, const Operand& from, const std::string& row, const std::string& column) {
                                   return s.load(from, fmt::format("({}) * {} + {}", column, s.number(p.k), row));
                                 }));
  CAMEO_ASSIGN(std::unique_ptr<Operation> product, make_quantized_product(b, a, o));
  if (!product) {
    (void)b.take();
    return false;
  }
  b.add(std::move(product));
  return true;
}

// sums [rows, n], a thread each.
Status plain_sums(StepBuilder& b, const QuantizedProblem& p, const Operand& x, const Operand& sums) {
  CAMEO_ASSIGN(const Operand w, b.input(1));
  Source s;
  Dims dims{p.rows / std::max<int64_t>(1, p.y_spatial.num_elements())}, taps;
  for (int64_t d : p.y_spatial) dims.push_back(d);
  dims.push_back(p.n);
  for (size_t a = 0; a < p.window.rank; ++a) taps.push_back(p.window.axes[a].kernel);
  const auto at = s.unravel("i", dims);
  s.line("float sum = 0.f;");
  const Taps open = open_taps(s, p.window, p.x_spatial, std::span(at).subspan(1));
  std::string pixel = at[0], tap = "0";
  for (size_t a = 0; a < p.window.rank; ++a) {
    pixel = fmt::format("(({}) * {} + {})", pixel, s.number(p.x_spatial[a]), open.position[a]);
    tap = fmt::format("(({}) * {} + {})", tap, s.number(taps[a]), open.tap[a]);
  }
  const std::string channels = s.number(p.channels);
  s.line(fmt::format("for (I c = 0; c < {0}; ++c) sum += {1} * {2};", channels, s.load(x, fmt::format("{} * {} + c", pixel, channels)),
                     s.load(w, fmt::format("({}) * {} + {} * {} + c", at.back(), s.number(p.k), tap, channels))));
  close_taps(s, p.window);
  s.store(sums, "i", "sum");
  return s.launch_elements(b, p.rows * p.n);
}

// y = program(sums * scales).
Status finish(StepBuilder& b, const QuantizedProblem& p, const ops::PointProgram& program, const Operand& sums) {
  const Operand y = b.output(0);
  CAMEO_ASSIGN(const Operand scale, b.input(2));
  Source s;
  const auto at = s.unravel("i", y.dims);
  s.line(fmt::format("const float v0 = {} * ({} * {});", s.load(sums, "i"), literal(p.x_scale), s.load(scale, at.back())));
  std::vector<std::string> values = {"v0"};
  for (size_t k = kOperands; k < b.num_inputs(); ++k) {
    CAMEO_ASSIGN(const Operand o, b.input(k));
    const std::string e = s.load(o, s.offset(at, broadcast(o, y.dims).strides));
    values.push_back(p.is_bytes(k - kOperands) ? fmt::format("({} * {})", e, literal(p.operand_scales[k - kOperands])) : e);
  }
  const std::string result = program.code.empty() ? values[0] : emit_program(s, program, values);
  s.store(y, "i", y.dtype == kFloat8 ? float8_code(b, s, fmt::format("({}) / {}", result, literal(p.y_scale))) : result);
  return s.launch_elements(b, y.dims.num_elements());
}

Status make(StepBuilder& b) {
  if (b.output(0).dims.num_elements() == 0) return {};
  CAMEO_ASSIGN(const QuantizedProblem p, quantized_convolution(b.attrs(), b.in_dims(0), b.out_dims(0)));
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, kOperands));
  if (!b.value(1) || !b.value(2)) return error(ErrorCode::kUnsupported, "its weight is not known before the run");
  CAMEO_ASSIGN(const bool done, by_tensor_cores(b, p, program));
  if (done) return {};
  CAMEO_ASSIGN(const Operand x, b.input(0));
  const Operand sums = b.scratch(DType::kFloat32, Dims{p.rows, p.n});
  if (p.rows * p.n * p.k < kLittle || p.rows * (p.k * 2 + p.n * 4) > kMostWindowBytes) {
    CAMEO_TRY(plain_sums(b, p, x, sums));
  } else {
    Gemm g;
    g.m = p.rows, g.n = p.n, g.k = p.k;
    g.a = b.scratch(DType::kFloat16, Dims{p.rows, p.k});
    CAMEO_TRY(windows_as_rows(
        b, p, x, g.a, "0.f", [](const std::string& v) { return v; }, "float"));
    CAMEO_ASSIGN(g.b, b.input_as(1, DType::kFloat16));
    g.trans_b = true;
    g.y = sums;
    CAMEO_TRY(add_gemm(b, g));
  }
  return finish(b, p, program, sums);
}

}  // namespace

std::vector<DeviceOp> float8_convolutions() { return {{"Float8Conv", "ai.cameo", make}}; }

}  // namespace cameo::cuda
