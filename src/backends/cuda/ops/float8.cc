// ai.cameo.Float8MatMul: products of 8-bit floats. Variants:
//   tensor cores  kernels/quantized_product.h, with all that follows where it is a bias, an addend and an activation;
//                 kernels/turns_product.h, with a bias and Gelu; cublasLt, with a pass where it is an activation
//   float16       elsewhere: 8-bit floats are exact in 16 bits, and cublasLt adds in float32
#include "backends/cuda/gemm.h"
#include "backends/cuda/ops/epilogue.h"
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/quantized_operation.h"
#include "backends/cuda/tile_products.h"
#include "backends/cuda/turns_operation.h"

namespace cameo::cuda {
namespace {

constexpr size_t kOperands = 3;  // inputs before those of the program
constexpr DType kFloat8 = DType::kFloat8E4M3FN;

struct Problem {
  int64_t rows = 0, n = 0, k = 0;
  float x_scale = 0, y_scale = 1;
};

// What X becomes: 8-bit floats, and where their scale is found in the run, that.
struct Rounded {
  Operand x, factor;
};

Result<Rounded> rounded_input(StepBuilder& b, const Problem& p) {
  Rounded r;
  CAMEO_ASSIGN(const Operand x, b.input(0));
  if (x.dtype == kFloat8) {
    r.x = x;
    return r;
  }
  const Dims flat{x.dims.num_elements()};
  r.x = b.scratch(kFloat8, x.dims);
  if (p.x_scale > 0) {
    const Operand from[] = {x.seen_as(flat)};
    CAMEO_TRY(map(b, r.x.seen_as(flat), from, [&](Source& s, std::span<const std::string> v) {
      return float8_code(b, s, fmt::format("{} / {}", v[0], literal(p.x_scale)));
    }));
    return r;
  }
  const Operand most = b.scratch(DType::kInt32, Dims{1});
  r.factor = b.scratch(DType::kFloat32, Dims{1});
  Source clear;
  clear.store(most, "i", "0");
  CAMEO_TRY(clear.launch_elements(b, 1));
  constexpr int kThreads = 256, kEach = 32;
  const int64_t count = flat[0], blocks = (count + kThreads * kEach - 1) / (kThreads * kEach);
  Source reduce;
  reduce.line("float m = 0.f;");
  reduce.line(fmt::format("for (I j = 0, k = block * {} + t; j < {} && k < {}; ++j, k += {}) m = fmaxf(m, fabsf({}));", kThreads * kEach,
                          kEach, reduce.number(count), kThreads, reduce.load(x, "k")));
  reduce.line("m = block_reduce(m, Most());");
  // Floats that are not negative have the order of their bits.
  reduce.line(fmt::format("if (t == 0) atomicMax((int*){}, __float_as_int(m));", reduce.write(most)));
  CAMEO_TRY(reduce.launch_blocks(b, blocks, kThreads));
  Source find;
  find.line(fmt::format("const float s = __int_as_float({}) / 448.f;", find.load(most, "0")));
  find.store(r.factor, "i", "s >= 1.17549435e-38f && !isinf(s) ? s : 1.f");
  CAMEO_TRY(find.launch_elements(b, 1));
  Operand factor = r.factor;
  const std::vector<Strided> from = {dense(x.seen_as(flat)), {factor, Dims{0}, 0}};
  CAMEO_TRY(map(b, flat, dense(r.x.seen_as(flat)), from,
                [&](Source& s, std::span<const std::string> v) { return float8_code(b, s, v[0] + " / " + v[1]); }));
  return r;
}

// [columns] of input i times a factor, zeros behind.
Result<Operand> padded(StepBuilder& b, size_t i, float factor, int64_t columns) {
  return b.prepared(
      i, fmt::format("{} columns by {}", columns, factor), DType::kFloat32, Dims{columns},
      [&](StepBuilder& inner, const Operand& from, const Operand& to) {
        Source s;
        s.store(to, "i", fmt::format("i < {} ? {} * {} : 0.f", s.number(from.dims.num_elements()), literal(factor), s.load(from, "i")));
        return s.launch_elements(inner, columns);
      });
}

// y = program(acc), where acc holds products that are scaled already, or is to be scaled.
Status finish(StepBuilder& b, const Problem& p, const ops::PointProgram& program, const Operand& acc, bool scaled, const Operand& factor,
              const Operand& y) {
  Source s;
  const auto at = s.unravel("i", y.dims);
  std::string value = s.load(acc, "i");
  if (!scaled) {
    CAMEO_ASSIGN(const Operand scale, b.input(2));
    value += fmt::format(" * ({} * {})", factor.present() ? s.load(factor, "0") : literal(p.x_scale), s.load(scale, at.back()));
  }
  s.line(fmt::format("const float v0 = {};", value));
  std::vector<std::string> values = {"v0"};
  for (size_t k = kOperands; k < b.num_inputs(); ++k) {
    CAMEO_ASSIGN(const Operand o, b.input(k));
    values.push_back(s.load(o, s.offset(at, broadcast(o, y.dims).strides)));
  }
  const std::string result = program.code.empty() ? values[0] : emit_program(s, program, values);
  s.store(y, "i", y.dtype == kFloat8 ? float8_code(b, s, fmt::format("({}) / {}", result, literal(p.y_scale))) : result);
  return s.launch_elements(b, y.dims.num_elements());
}

// The one scale that all columns share; 0 where they have their own.
float shared_scale(const Tensor& scales) {
  const auto s = scales.span<float>();
  for (float v : s)
    if (v != s[0]) return 0;
  return s.empty() ? 0 : s[0];
}

// The product by cublasLt: one scale for all of W, known before the run, and no more behind it than a bias, an addend and Relu. Null
// where that is not so.
Result<std::unique_ptr<Operation>> library_product(StepBuilder& b, const Problem& p, const Rounded& x, const LinearEpilogue& e,
                                                   const Operand& y, double* microseconds) {
  std::unique_ptr<Operation> none;
  const float scale = shared_scale(*b.value(2));
  const bool relu = e.activates && e.activation == ops::PointOp::kRelu;
  if (scale == 0 || x.factor.present() || p.k % 16 != 0 || p.n % 16 != 0 || !gemm_supports(kFloat8, y.dtype) || !e.whole ||
      (e.activates && !relu))
    return none;
  Gemm g;
  g.m = p.rows, g.n = p.n, g.k = p.k;
  g.a = x.x;
  CAMEO_ASSIGN(g.b, b.input(1));
  g.trans_b = true;
  g.alpha = p.x_scale * scale;
  g.y = y;
  if (e.bias) {
    CAMEO_ASSIGN(g.bias, b.input_as(e.bias, y.dtype));
  }
  if (e.addend) {
    CAMEO_ASSIGN(g.addend, b.input(e.addend));
    if (g.addend.dtype != y.dtype) return none;
  }
  if (relu) g.activation = Gemm::Activation::kRelu;
  auto made = make_gemm(b, g, microseconds);
  if (!made.ok() && made.error().code() == ErrorCode::kUnsupported) return none;
  return made;
}

// Whether the library may give the product in 16 bits, for a pass that activates and rounds.
bool may_pass(const LinearEpilogue& e) {
  return e.activates &&
         (e.activation == ops::PointOp::kGelu || e.activation == ops::PointOp::kGeluTanh || e.activation == ops::PointOp::kSwish);
}

// y = activation(x), rounded.
Status pass(StepBuilder& b, const Problem& p, ops::PointOp activation, const Operand& x, const Operand& y) {
  const ops::PointProgram program{.num_inputs = 1, .code = {{activation}}};
  const Operand from[] = {x};
  return map(b, y, from, [&](Source& s, std::span<const std::string> v) {
    const std::string result = emit_program(s, program, v, y.dtype);
    return y.dtype == kFloat8 ? float8_code(b, s, fmt::format("({}) / {}", result, literal(p.y_scale))) : result;
  });
}

// Ways to do it, as they are remembered.
enum Way { kOwn, kLibrary, kTurns, kWays };

// Whether it was done so.
Result<bool> by_tensor_cores(StepBuilder& b, const Problem& p, const Rounded& x, const ops::PointProgram& program, const Operand& y) {
  if (!b.device().has_gpu() || b.device().info().arch() != 90 || p.k % 16 != 0 || p.rows > INT32_MAX || p.n > INT32_MAX || p.k > INT32_MAX)
    return false;
  QuantizedProductArgs a;
  QuantizedOperands o;
  a.batch = static_cast<int32_t>(p.rows);
  a.channels = static_cast<int32_t>(p.k);
  a.n = static_cast<int32_t>(p.n);
  o.x = x.x;
  o.x_factor = x.factor;
  const int64_t columns = (p.n + kQuantizedColumns - 1) / kQuantizedColumns * kQuantizedColumns;
  CAMEO_ASSIGN(o.scale, padded(b, 2, x.factor.present() ? 1.f : p.x_scale, columns));
  const LinearEpilogue e = match_linear_epilogue(b, program, kOperands, y.dims);
  if (e.whole) {
    if (e.bias) {
      CAMEO_ASSIGN(o.bias, padded(b, e.bias, 1, columns));
    }
    if (e.addend) {
      CAMEO_ASSIGN(o.residual, b.input(e.addend));
    }
    a.activation = activation_of(e);
    a.low = e.low, a.high = e.high;
    if (y.dtype == kFloat8) a.y_factor = 1 / p.y_scale;
  }
  o.y = e.whole ? y : b.scratch(DType::kFloat32, y.dims);
  const float shared = shared_scale(*b.value(2));
  const std::string problem = fmt::format("float8 product {}x{}x{} {} > {} bias {} add {} act {} scales {} {} by", p.rows, p.n, p.k,
                                          o.y.dims.to_string(), dtype_name(y.dtype), e.bias > 0, e.addend > 0,
                                          e.activates ? static_cast<int>(e.activation) : -1, x.factor.present(), shared == 0);
  // What cublasLt cannot do behind its sums is a pass over them.
  const bool passes = may_pass(e);
  Operand sums = y;
  const auto make = [&](int way, double* time) -> Result<std::unique_ptr<Operation>> {
    std::unique_ptr<Operation> none;
    if (way == kLibrary) {
      LinearEpilogue covered = e;
      if (passes) {
        covered.activates = false;
        if (y.dtype == kFloat8) sums = b.scratch(b.precision() == Precision::kBfloat16 ? DType::kBfloat16 : DType::kFloat16, y.dims);
      }
      CAMEO_ASSIGN(auto made, library_product(b, p, x, covered, sums, time));
      if (passes && time && *time > 0) *time += pass_microseconds(p.rows * p.n * (2 + static_cast<int64_t>(dtype_size(y.dtype))) / 4);
      return made;
    }
    if (way == kTurns && (shared == 0 || x.factor.present() || !e.whole || e.addend)) return none;
    CAMEO_ASSIGN(o.w, tiled_weight(b, 1, "", kFloat8, p.k, p.n,
                                   [&](Source& s, const Operand& from, const std::string& row, const std::string& column) {
                                     return s.load(from, fmt::format("({}) * {} + {}", column, s.number(p.k), row));
                                   }));
    if (way == kOwn) return make_quantized_product(b, a, o, time);
    TurnsArgs t;
    t.m = a.batch, t.n = a.n, t.k = a.channels;
    t.scale = p.x_scale * shared;
    t.activation = a.activation;
    t.y_factor = a.y_factor;
    TurnsOperands operands{.x = x.x, .w = o.w, .y = y};
    if (e.bias) {
      CAMEO_ASSIGN(operands.bias, turns_bias(b, e.bias, p.n));
    }
    return make_turns_product(b, t, operands, time);
  };
  int way = b.device().known_choice(problem);
  if (way < 0 || way >= kWays) {
    double least = 0;
    way = kOwn;
    for (int each = 0; each < kWays; ++each) {
      const auto before = b.mark();
      double time = 0;
      CAMEO_ASSIGN(const auto made, make(each, &time));
      b.back_to(before);
      if (made && time > 0 && (least == 0 || time < least)) least = time, way = each;
    }
    if (least > 0) b.device().remember_choice(problem, way);
  }
  CAMEO_ASSIGN(std::unique_ptr<Operation> product, make(way, nullptr));
  for (int each = 0; each < kWays && !product; ++each) {
    way = each;
    CAMEO_ASSIGN(product, make(each, nullptr));
  }
  if (!product) return false;
  b.add(std::move(product));
  if (way == kLibrary && passes) CAMEO_TRY(pass(b, p, e.activation, sums, y));
  if (!e.whole) CAMEO_TRY(finish(b, p, program, o.y, true, {}, y));
  return true;
}

Status by_library(StepBuilder& b, const Problem& p, const Rounded& x, const ops::PointProgram& program, const Operand& y) {
  Gemm g;
  g.m = p.rows, g.n = p.n, g.k = p.k;
  g.a = b.scratch(DType::kFloat16, Dims{p.rows, p.k});
  CAMEO_TRY(copy_elements(b, x.x, g.a));
  CAMEO_ASSIGN(g.b, b.input_as(1, DType::kFloat16));
  g.trans_b = true;
  g.y = b.scratch(DType::kFloat32, Dims{p.rows, p.n});
  CAMEO_TRY(add_gemm(b, g));
  return finish(b, p, program, g.y, false, x.factor, y);
}

Status make(StepBuilder& b) {
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, kOperands));
  Problem p;
  p.n = b.attrs().integer("n");
  p.k = b.attrs().integer("k");
  p.x_scale = b.attrs().real("x_scale");
  p.y_scale = b.attrs().real("y_scale", 1);
  const std::vector<int64_t> splits = b.attrs().integers("splits");
  size_t known = 0;
  while (known < b.num_outputs() && !b.has_output(known)) ++known;
  if (known == b.num_outputs()) return {};
  const Operand first = b.output(known);
  Operand y = first;
  if (!splits.empty()) {
    Dims dims = y.dims;
    dims[dims.rank() - 1] = p.n;
    if (first.pitch) {
      y.dims = dims;
      y.pitch = 0;
    } else {
      y = b.scratch(first.dtype, dims);
      y.narrowed = first.narrowed;
    }
  }
  if (y.dims.num_elements() == 0) return {};
  if (p.k == 0) return error(ErrorCode::kUnsupported, "its weight has no rows");
  if (!b.value(1) || !b.value(2)) return error(ErrorCode::kUnsupported, "its weight is not known before the run");
  p.rows = y.dims.num_elements() / p.n;
  CAMEO_ASSIGN(const Rounded x, rounded_input(b, p));
  CAMEO_ASSIGN(const bool done, by_tensor_cores(b, p, x, program, y));
  if (!done) CAMEO_TRY(by_library(b, p, x, program, y));
  if (first.pitch) return {};
  return copy_splits(b, y, splits);
}

}  // namespace

std::vector<DeviceOp> float8_ops() { return {{"Float8MatMul", "ai.cameo", make}}; }

}  // namespace cameo::cuda
