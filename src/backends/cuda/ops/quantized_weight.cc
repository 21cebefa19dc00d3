// ai.cameo.QuantizedWeightMatMul: weights of 4, 8 or 16 bits in packed form (ops/cameo_quantized_weight.h), float activations. Variants:
//   few rows  kernels/skinny_gemm.h reads the weight as it is and widens it in registers
//   many      the weight is widened to scratch memory, for cublasLt; of 16 bits it is kept as that wants it
#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/gemm.h"
#include "backends/cuda/ops/epilogue.h"
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

constexpr size_t kOperands = 4;  // inputs before those of the program
constexpr int64_t kMostRows = 64;

struct Weight {
  int64_t bits = 8, k = 0, n = 0, group = 0;
  int64_t groups() const { return (k + group - 1) / group; }
};

std::string scale_index(Source& s, const Weight& w, const std::string& row, const std::string& column) {
  return fmt::format("(({1}) / 16 * {2} + ({0}) / {3}) * 16 + ({1}) % 16", row, column, s.number(w.groups()), s.number(w.group));
}

// The number that stands at a row and column, before scale and zero point.
std::string code_at(Source& s, const Weight& w, const Operand& values, const std::string& row, const std::string& column) {
  if (w.bits == 16) return s.load(values, fmt::format("(({1}) / 16 * {2} + ({0})) * 16 + ({1}) % 16", row, column, s.number(w.k)));
  const int64_t step = w.bits == 4 ? 8 : 4;
  const std::string at = fmt::format("((({1}) / 16 * {2} + ({0}) / {3}) * 16 + ({1}) % 16) * 4 + ({0}) % 4", row, column,
                                     s.number((w.k + step - 1) / step), step);
  const std::string byte = "(int)" + s.load(values, at);
  return w.bits == 8 ? byte : fmt::format("(({}) >> (({}) % 8 / 4 * 4) & 15)", byte, row);
}

// to [n, k] = the weight as numbers.
Status widen(StepBuilder& b, const Weight& w, const Operand& values, const Operand* scales, const Operand* zeros, const Operand& to) {
  Source s;
  const auto at = s.unravel("i", Dims{w.n, w.k});
  const std::string code = code_at(s, w, values, at[1], at[0]);
  if (w.bits == 16) {
    s.store(to, "i", code);
    return s.launch_elements(b, to.dims.num_elements());
  }
  s.line(fmt::format("const I g = {};", scale_index(s, w, at[1], at[0])));
  const std::string scale = "(float)" + s.load(*scales, "g");
  if (zeros && is_float(zeros->dtype))
    s.store(to, "i", fmt::format("(float)({}) * {} + (float){}", code, scale, s.load(*zeros, "g")));
  else
    s.store(to, "i",
            fmt::format("(float)({} - {}) * {}", code, zeros ? "(int)" + s.load(*zeros, "g") : std::to_string(1 << (w.bits - 1)), scale));
  return s.launch_elements(b, to.dims.num_elements());
}

// The forms of the weight that the kernel for few rows reads.
Result<SkinnyWeight> skinny_weight(StepBuilder& b, const Weight& w, DType type) {
  SkinnyWeight f;
  f.format = w.bits == 4 ? WeightFormat::kInt4 : WeightFormat::kInt8;
  f.group = static_cast<int32_t>(w.group >= w.k ? w.k : w.group);
  const auto make = [&](size_t input, const std::string& form, DType to_type, const Dims& dims,
                        const std::function<void(Source&, const Operand&, const Operand&)>& body) {
    return b.prepared(input, "skinny " + form, to_type, dims, [&](StepBuilder& inner, const Operand& from, Operand to) {
      to.narrowed = is_float(to.dtype);
      Source s;
      body(s, from, to);
      return s.launch_elements(inner, to.dims.num_elements());
    });
  };
  if (w.bits == 8) {
    CAMEO_ASSIGN(f.values, make(1, "int8", DType::kInt8, Dims{w.n, w.k}, [&](Source& s, const Operand& from, const Operand& to) {
                   const auto at = s.unravel("i", to.dims);
                   s.store(to, "i", code_at(s, w, from, at[1], at[0]) + " - 128");
                 }));
  } else {
    CAMEO_ASSIGN(f.values, make(1, "int4", DType::kUint8, Dims{w.n, w.k / 2}, [&](Source& s, const Operand& from, const Operand& to) {
                   const auto at = s.unravel("i", to.dims);
                   s.line(fmt::format("const I row = ({}) * 2;", at[1]));
                   s.store(to, "i",
                           fmt::format("({}) | ({}) << 4", code_at(s, w, from, "row", at[0]), code_at(s, w, from, "(row + 1)", at[0])));
                 }));
  }
  CAMEO_ASSIGN(
      f.scales, make(2, std::string(dtype_name(type)), type, Dims{w.n, w.groups()}, [&](Source& s, const Operand& from, const Operand& to) {
        const auto at = s.unravel("i", to.dims);
        s.store(to, "i", s.load(from, fmt::format("(({0}) / 16 * {1} + ({2})) * 16 + ({0}) % 16", at[0], s.number(w.groups()), at[1])));
      }));
  if (!b.has_input(3)) return f;
  CAMEO_ASSIGN(
      f.zeros,
      make(3, "half bytes", DType::kUint8, Dims{w.n, (w.groups() + 1) / 2}, [&](Source& s, const Operand& from, const Operand& to) {
        const auto at = s.unravel("i", to.dims);
        const std::string groups = s.number(w.groups());
        const auto zero = [&](int more) {
          const std::string g = fmt::format("(({}) * 2 + {})", at[1], more);
          return fmt::format("({0} < {1} ? (int){2} & 15 : 0)", g, groups,
                             s.load(from, fmt::format("(({0}) / 16 * {1} + ({2} < {1} ? {2} : 0)) * 16 + ({0}) % 16", at[0], groups, g)));
        };
        s.store(to, "i", zero(0) + " | " + zero(1) + " << 4");
      }));
  return f;
}

// Whether it was done so.
Result<bool> few_rows(StepBuilder& b, const Weight& w, int64_t rows, const Operand& x, const ops::PointProgram& program, const Operand& y) {
  const bool float_zeros = b.has_input(3) && is_float(b.in_type(3));
  if (rows > kMostRows || w.bits == 16 || float_zeros || (w.bits == 8 && b.has_input(3)) || (w.bits == 4 && w.k % 2 != 0)) return false;
  if (!b.value(2) || (b.has_input(3) && !b.value(3))) return false;
  if (x.dtype != DType::kFloat16 && x.dtype != DType::kBfloat16) return false;
  CAMEO_ASSIGN(const SkinnyWeight f, skinny_weight(b, w, x.dtype));
  LinearEpilogue e;
  if (y.dtype == x.dtype) e = match_linear_epilogue(b, program, kOperands, y.dims);
  // The kernel adds what is added behind the activation.
  if (e.activates && (e.addend || e.activation == ops::PointOp::kClip)) e = {};
  Operand bias, addend, to = y;
  if (e.addend) {
    CAMEO_ASSIGN(addend, b.input(e.addend));
    if (addend.dtype != x.dtype) e = {}, addend = {};
  }
  Activation activation = Activation::kNone;
  if (e.whole) {
    if (e.bias) {
      CAMEO_ASSIGN(bias, b.input_as(e.bias, x.dtype));
    }
    if (e.activates)
      activation = e.activation == ops::PointOp::kRelu    ? Activation::kRelu
                   : e.activation == ops::PointOp::kGelu  ? Activation::kGelu
                   : e.activation == ops::PointOp::kSwish ? Activation::kSilu
                                                          : Activation::kGeluTanh;
  } else if (y.dtype != x.dtype) {
    to = b.scratch(x.dtype, y.dims);
  }
  if (!try_skinny_gemm(b, rows, w.n, w.k, x, f.values, bias, activation, addend, to, f)) return false;
  if (!to.same_place(y) && program.code.empty()) CAMEO_TRY(copy_elements(b, to, y));
  if (!e.whole) CAMEO_TRY(apply_program(b, program, to, kOperands, y));
  return true;
}

Status by_library(StepBuilder& b, const Weight& w, int64_t rows, const Operand& x, const ops::PointProgram& program, const Operand& y) {
  Gemm g;
  g.m = rows, g.n = w.n, g.k = w.k;
  g.a = x;
  g.trans_b = true;
  if (w.bits == 16) {
    CAMEO_ASSIGN(g.b, b.prepared(1, fmt::format("rows of K {}", dtype_name(x.dtype)), x.dtype, Dims{w.n, w.k},
                                 [&](StepBuilder& inner, const Operand& from, Operand to) {
                                   to.narrowed = from.dtype != to.dtype;
                                   return widen(inner, w, from, nullptr, nullptr, to);
                                 }));
  } else {
    CAMEO_ASSIGN(const Operand values, b.input(1));
    CAMEO_ASSIGN(const Operand scales, b.input(2));
    Operand zeros;
    if (b.has_input(3)) {
      CAMEO_ASSIGN(zeros, b.input(3));
    }
    g.b = b.scratch(x.dtype, Dims{w.n, w.k});
    g.b.narrowed = true;
    CAMEO_TRY(widen(b, w, values, &scales, zeros.present() ? &zeros : nullptr, g.b));
  }
  if (w.bits == 16 && rows <= 16 && program.code.empty() && y.dtype == x.dtype &&
      try_skinny_gemm(b, rows, w.n, w.k, x, g.b, {}, Activation::kNone, {}, y))
    return {};
  g.y = gemm_supports(x.dtype, y.dtype) ? y : b.scratch(x.dtype, y.dims);
  CAMEO_TRY(add_gemm(b, g));
  if (program.code.empty() && !g.y.same_place(y)) return copy_elements(b, g.y, y);
  return apply_program(b, program, g.y, kOperands, y);
}

Status make(StepBuilder& b) {
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, kOperands));
  Weight w;
  w.bits = b.attrs().integer("bits", 8);
  w.k = b.attrs().integer("k");
  w.n = b.attrs().integer("n");
  w.group = b.attrs().integer("group_size");
  if (w.group == 0) w.group = std::max<int64_t>(w.k, 1);
  const std::vector<int64_t> splits = b.attrs().integers("splits");
  const DType type = b.in_type(0) == DType::kFloat32 ? activation_type(b.precision()) : b.in_type(0);
  size_t known = 0;
  while (known < b.num_outputs() && !b.has_output(known)) ++known;
  if (known == b.num_outputs()) return {};
  const Operand first = b.output(known);
  const int64_t rows = w.k == 0 ? 0 : b.in_dims(0).num_elements() / w.k;
  Operand y = first;
  if (!splits.empty()) {
    Dims dims = first.dims;
    dims[dims.rank() - 1] = w.n;
    if (first.pitch) {  // the parts stay side by side
      y.dims = dims;
      y.pitch = 0;
    } else {
      y = b.scratch(first.dtype, dims);
      y.narrowed = first.narrowed;
    }
  }
  if (y.dims.num_elements() == 0) return {};
  if (w.k == 0) return error(ErrorCode::kUnsupported, "the weight has no rows");
  if (!b.value(1)) return error(ErrorCode::kUnsupported, "its weight is not known before the run");
  CAMEO_ASSIGN(const Operand x, b.input_as(0, type));
  CAMEO_ASSIGN(const bool done, few_rows(b, w, rows, x, program, y));
  if (!done) CAMEO_TRY(by_library(b, w, rows, x, program, y));
  if (first.pitch) return {};
  return copy_splits(b, y, splits);
}

}  // namespace

std::vector<DeviceOp> quantized_weight_ops() { return {{"QuantizedWeightMatMul", "ai.cameo", make}}; }

}  // namespace cameo::cuda
