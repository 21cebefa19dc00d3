// Operators that work element by element, on any type. A formula is written with x, y, z for the elements and T for the type
// that is computed in.
#include "backends/cuda/ops/ops.h"
#include "backends/cuda/program.h"

namespace cameo::cuda {
namespace {

struct Plain {
  const char* name;
  const char* formula;
};

constexpr Plain kUnary[] = {
    {"Abs", "x < (T)0 ? (T)-x : x"},
    {"Acos", "acos(x)"},
    {"Acosh", "acosh(x)"},
    {"Asin", "asin(x)"},
    {"Asinh", "asinh(x)"},
    {"Atan", "atan(x)"},
    {"Atanh", "atanh(x)"},
    {"BitwiseNot", "(T)~x"},
    {"Ceil", "ceil(x)"},
    {"Cos", "cos(x)"},
    {"Cosh", "cosh(x)"},
    {"Erf", "erf(x)"},
    {"Exp", "exp(x)"},
    {"Floor", "floor(x)"},
    {"HardSwish", "x * fmax((T)0, fmin((T)1, x / (T)6 + (T)0.5))"},
    {"Identity", "x"},
    {"Flatten", "x"},
    {"Reshape", "x"},
    {"Squeeze", "x"},
    {"Unsqueeze", "x"},
    {"IsNaN", "x != x"},
    {"Log", "log(x)"},
    {"Mish", "x * tanh(softplus(x))"},
    {"Neg", "(T)-x"},
    {"Not", "!x"},
    {"Reciprocal", "(T)1 / x"},
    {"Relu", "x < (T)0 ? (T)0 : x"},
    {"Round", "rint(x)"},
    {"Sigmoid", "sigmoid(x)"},
    {"Sign", "x != x ? x : (T)((x > (T)0) - (x < (T)0))"},
    {"Sin", "sin(x)"},
    {"Sinh", "sinh(x)"},
    {"Softplus", "softplus(x)"},
    {"Softsign", "x / ((T)1 + fabs(x))"},
    {"Sqrt", "sqrt(x)"},
    {"Tan", "tan(x)"},
    {"Tanh", "tanh(x)"},
};

constexpr Plain kBinary[] = {
    {"Add", "(T)(x + y)"},
    {"And", "x && y"},
    {"BitwiseAnd", "(T)(x & y)"},
    {"BitwiseOr", "(T)(x | y)"},
    {"BitwiseXor", "(T)(x ^ y)"},
    {"Equal", "x == y"},
    {"Greater", "x > y"},
    {"GreaterOrEqual", "x >= y"},
    {"Less", "x < y"},
    {"LessOrEqual", "x <= y"},
    {"Mul", "(T)(x * y)"},
    {"Or", "x || y"},
    {"PRelu", "x < (T)0 ? (T)(x * y) : x"},
    {"Sub", "(T)(x - y)"},
    {"Xor", "x != y"},
};

const char* find(std::span<const Plain> list, std::string_view name) {
  for (const Plain& p : list)
    if (name == p.name) return p.formula;
  return nullptr;
}

Formula formula(std::string text, std::string type) {
  return [text = std::move(text), type = std::move(type)](Source&, std::span<const std::string> values) {
    std::string out;
    const auto letter = [&](size_t at) { return at < text.size() && (isalnum(text[at]) || text[at] == '_'); };
    for (size_t k = 0; k < text.size(); ++k) {
      const bool alone = !(k > 0 && letter(k - 1)) && !letter(k + 1);
      if (alone && text[k] >= 'x' && text[k] <= 'z' && static_cast<size_t>(text[k] - 'x') < values.size())
        out += values[static_cast<size_t>(text[k] - 'x')];
      else if (alone && text[k] == 'T')
        out += type;
      else
        out += text[k];
    }
    return "(" + out + ")";
  };
}

Status unary(StepBuilder& b, const std::string& text) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  Operand y = b.output(0);
  // Views keep their elements in other extents.
  const Dims flat{y.dims.num_elements()};
  return map(b, flat, dense(y.seen_as(flat)), {dense(x.seen_as(flat))}, formula(text, compute_type(b.in_type(0))));
}

// Before version 7 the second operand's axes may begin at an axis of the first.
Operand right_operand(const StepBuilder& b, Operand y) {
  if (b.version() >= 7 || !b.attrs().has("axis") || y.dims.num_elements() == 1) return y;
  const auto rank = static_cast<int64_t>(b.in_dims(0).rank());
  int64_t axis = b.attrs().integer("axis");
  if (axis < 0) axis += rank;
  while (static_cast<int64_t>(y.dims.rank()) < rank - axis) y.dims.push_back(1);
  return y;
}

Status binary(StepBuilder& b, const std::string& text) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand y, b.input(1));
  const Operand operands[] = {x, right_operand(b, y)};
  return map(b, b.output(0), operands, formula(text, compute_type(b.in_type(0))));
}

Status make_unary(StepBuilder& b) { return unary(b, find(kUnary, b.node().op->name)); }
Status make_binary(StepBuilder& b) { return binary(b, find(kBinary, b.node().op->name)); }

Status make_div(StepBuilder& b) {
  return binary(b, is_integer(b.in_type(0)) ? "y == (T)0 ? (T)0 : y == (T)-1 && (T)-1 < (T)0 ? (T)(0 - x) : (T)(x / y)" : "x / y");
}

Status make_mod(StepBuilder& b) {
  const bool cut = b.attrs().integer("fmod") != 0;
  if (is_integer(b.in_type(0)))
    return binary(b, cut ? "y == (T)0 || (y == (T)-1 && (T)-1 < (T)0) ? (T)0 : (T)(x % y)"
                         : "y == (T)0 || (y == (T)-1 && (T)-1 < (T)0) ? (T)0 : ((T)(x % y) != (T)0 && ((T)(x % y) < (T)0) != (y < (T)0)) ? "
                           "(T)(x % y + y) : (T)(x % y)");
  return binary(
      b, cut ? "fmod(x, y)" : "fmod(x, y) == (T)0 ? (T)copysign((T)0, y) : ((fmod(x, y) < 0) != (y < 0) ? fmod(x, y) + y : fmod(x, y))");
}

Status make_bit_shift(StepBuilder& b) {
  const int64_t bits = 8 * static_cast<int64_t>(dtype_size(b.in_type(0)));
  if (b.attrs().text("direction") == "LEFT") return binary(b, fmt::format("y >= (T)0 && (u64)y < {} ? (T)((u64)x << y) : (T)0", bits));
  return binary(b, fmt::format("y >= (T)0 && (u64)y < {} ? (T)(x >> y) : x < (T)0 ? (T)-1 : (T)0", bits));
}

Status make_pow(StepBuilder& b) {
  if (is_integer(b.in_type(0)))
    return binary(b, is_integer(b.in_type(1)) ? "int_pow<T>(x, (i64)y)" : "Cut<T>::of(pow((double)x, (double)y))");
  if (const Tensor* e = b.value(1); e && e->num_elements() == 1 && e->dtype() == DType::kFloat32) {
    const float exponent = *e->data<float>();
    const char* text = exponent == 2 ? "x * x" : exponent == 3 ? "x * x * x" : exponent == 0.5f ? "sqrt(x)" : exponent == 1 ? "x" : nullptr;
    if (text && b.out_dims(0) == b.in_dims(0)) return unary(b, text);
  }
  const bool same = b.in_type(1) == b.in_type(0);
  return binary(b, same ? "pow(x, y)" : "(T)pow((double)x, (double)y)");
}

Status make_dropout(StepBuilder& b) {
  if (b.num_inputs() > 2 && b.has_input(2)) {
    const Tensor* training = b.value(2);
    if (!training || *training->data<uint8_t>() != 0) return error(ErrorCode::kUnsupported, "Dropout that draws numbers");
  }
  if (b.has_output(1)) {
    const Operand mask = b.output(1);
    Source s;
    s.store(mask, "i", "1");
    CAMEO_TRY(s.launch_elements(b, mask.dims.num_elements()));
  }
  return unary(b, "x");
}

// Formulas with attributes; %name=default% stands for the value of an attribute.
struct Parametric {
  const char* name;
  const char* formula;
};
constexpr Parametric kParametric[] = {
    {"Elu", "x < (T)0 ? %alpha=1% * expm1(x) : x"},
    {"Celu", "fmax((T)0, x) + fmin((T)0, %alpha=1% * expm1(x / %alpha=1%))"},
    {"HardSigmoid", "x != x ? x : fmin(fmax(%alpha=0.2% * x + %beta=0.5%, (T)0), (T)1)"},
    {"LeakyRelu", "x < (T)0 ? x * %alpha=0.01% : x"},
    {"Selu", "%gamma=1.0507009873554804934% * (x > (T)0 ? x : x != x ? x : %alpha=1.6732632423543772848% * expm1(x))"},
    {"Swish", "x * sigmoid(%alpha=1% * x)"},
    {"ThresholdedRelu", "x > %alpha=1% ? x : (T)0"},
    {"Shrink", "x < -%lambd=0.5% ? (T)(x + %bias=0%) : x > %lambd=0.5% ? (T)(x - %bias=0%) : (T)0"},
};

std::string with_attributes(const StepBuilder& b, std::string text) {
  for (size_t at; (at = text.find('%')) != std::string::npos;) {
    const size_t end = text.find('%', at + 1), equals = text.find('=', at);
    const std::string name = text.substr(at + 1, equals - at - 1);
    const float otherwise = std::stof(text.substr(equals + 1, end - equals - 1));
    const float value = b.attrs().real(name, otherwise);
    text.replace(at, end + 1 - at, "((T)" + (b.in_type(0) == DType::kFloat64 ? literal(static_cast<double>(value)) : literal(value)) + ")");
  }
  return text;
}

Status make_parametric(StepBuilder& b) {
  for (const Parametric& p : kParametric) {
    if (b.node().op->name != p.name) continue;
    // Selu's and others' defaults depend on the version in their low digits only; the attribute struct knows them.
    return unary(b, with_attributes(b, p.formula));
  }
  return error(ErrorCode::kInternal, "no formula");
}

Status make_swiglu(StepBuilder& b) { return binary(b, with_attributes(b, "x * sigmoid(%alpha=1% * x) * y")); }

Status make_gelu(StepBuilder& b) {
  return unary(b, b.attrs().text("approximate", "none") == "tanh"
                      ? "(T)0.5 * x * ((T)1 + tanh((T)0.79788456080286535588 * (x + (T)0.044715 * x * x * x)))"
                      : "(T)0.5 * x * ((T)1 + erf(x * (T)0.70710678118654752440))");
}

Status make_is_inf(StepBuilder& b) {
  std::string text = "isinf((double)x)";
  if (!b.attrs().integer("detect_negative", 1)) text += " && x > (T)0";
  if (!b.attrs().integer("detect_positive", 1)) text += " && x < (T)0";
  return unary(b, text);
}

Status make_clip(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  const std::string type = compute_type(b.in_type(0));
  std::vector<Operand> operands = {x};
  std::string low, high;
  if (b.version() < 11) {
    const auto limit = [&](const char* name) {
      return b.in_type(0) == DType::kFloat64 ? literal(static_cast<double>(b.attrs().real(name))) : literal(b.attrs().real(name));
    };
    if (b.attrs().has("min")) low = limit("min");
    if (b.attrs().has("max")) high = limit("max");
  } else {
    const char* names[] = {"x", "y", "z"};
    for (size_t i = 1; i < 3; ++i) {
      if (!b.has_input(i)) continue;
      CAMEO_ASSIGN(Operand limit, b.input(i));
      limit.dims = Dims();
      operands.push_back(std::move(limit));
      (i == 1 ? low : high) = names[operands.size() - 1];
    }
  }
  std::string text = "x";
  if (!low.empty()) text = fmt::format("({0} < {1} ? {1} : {0})", text, low);
  if (!high.empty()) text = fmt::format("({0} > {1} ? {1} : {0})", text, high);
  return map(b, b.output(0), operands, formula(text, type));
}

// Max, Min, Sum, Mean of any number of inputs.
Status make_fold(StepBuilder& b) {
  std::vector<Operand> operands;
  for (size_t i = 0; i < b.num_inputs(); ++i) {
    CAMEO_ASSIGN(Operand o, b.input(i));
    operands.push_back(std::move(o));
  }
  const std::string_view name = b.node().op->name;
  const std::string type = compute_type(b.in_type(0));
  return map(b, b.output(0), operands, [&](Source&, std::span<const std::string> x) {
    std::string text = x[0];
    for (size_t i = 1; i < x.size(); ++i)
      text = name == "Max"   ? fmt::format("most<{}>({}, {})", type, text, x[i])
             : name == "Min" ? fmt::format("least<{}>({}, {})", type, text, x[i])
                             : fmt::format("({} + {})", text, x[i]);
    if (name == "Mean") text = fmt::format("({} / ({})({}))", text, type, x.size());
    return text;
  });
}

Status make_where(StepBuilder& b) {
  CAMEO_ASSIGN(Operand condition, b.input(0));
  CAMEO_ASSIGN(Operand x, b.input(1));
  CAMEO_ASSIGN(Operand y, b.input(2));
  const Operand operands[] = {condition, x, y};
  return map(b, b.output(0), operands, formula("x ? y : z", compute_type(b.in_type(1))));
}

Status make_cast(StepBuilder& b) {
  const DType from = b.in_type(0), to = b.out_type(0);
  if (to == DType::kBool) return unary(b, "x != (T)0");
  if (is_float(from) && is_integer(to))
    return unary(
        b, fmt::format("Cut<{}>::of((double)x)",
                       to == DType::kInt4 || to == DType::kUint4 || to == DType::kInt2 || to == DType::kUint2 ? "i64" : compute_type(to)));
  if (is_small_float(to) && to != DType::kFloat4E2M1) {
    const bool saturate = b.attrs().integer("saturate", 1) != 0;
    const std::string rounding = b.attrs().text("round_mode", "up");
    const std::string more = to == DType::kFloat8E8M0 ? rounding == "down" ? ", 1" : rounding == "nearest" ? ", 2" : ", 0" : "";
    return unary(b, fmt::format("{}::code(one_float(x), {}{})", storage_type(to), saturate, more));
  }
  if (is_float(from)) return unary(b, "x");
  if (is_integer(to)) return unary(b, fmt::format("({})x", compute_type(to)));
  // 64-bit integers do not fit a float: through double they are rounded once.
  return unary(b, "(double)x");
}

// Bits move as integers; those above an element's own are those that its type has there.
Status make_bit_cast(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  Operand y = b.output(0);
  const auto bits_of = [](DType t) {
    switch (dtype_bits(t)) {
      case 64:
        return DType::kUint64;
      case 32:
        return DType::kUint32;
      case 16:
        return DType::kUint16;
      default:
        return DType::kUint8;
    }
  };
  x.dtype = bits_of(x.dtype);
  if (dtype_bits(y.dtype) >= 8)
    y.dtype = bits_of(y.dtype);
  else if (y.dtype == DType::kFloat4E2M1)
    y.dtype = DType::kUint4;
  const Operand operands[] = {x};
  return map(b, y, operands, [](Source&, std::span<const std::string> v) { return v[0]; });
}

Status make_program(StepBuilder& b) {
  CAMEO_ASSIGN(const ops::PointProgram program, program_of(b, 0));
  std::vector<Operand> operands;
  for (size_t i = 0; i < b.num_inputs(); ++i) {
    CAMEO_ASSIGN(Operand o, b.input(i));
    operands.push_back(std::move(o));
  }
  const Operand y = b.output(0);
  return map(b, y, operands, [&](Source& s, std::span<const std::string> x) { return emit_program(s, program, x, y.dtype); });
}

std::vector<DeviceOp> list() {
  std::vector<DeviceOp> ops;
  for (const Plain& p : kUnary) ops.push_back({p.name, "", make_unary, 0});
  for (const Plain& p : kBinary) ops.push_back({p.name, "", make_binary, 0});
  for (const Parametric& p : kParametric) ops.push_back({p.name, "", make_parametric, 0});
  for (const char* name : {"Max", "Min", "Sum", "Mean"}) ops.push_back({name, "", make_fold, 0});
  for (const char* name : {"Cast", "CastLike"}) ops.push_back({name, "", make_cast, 0});
  ops.push_back({"Div", "", make_div, 0});
  ops.push_back({"Mod", "", make_mod, 0});
  ops.push_back({"BitShift", "", make_bit_shift, 0});
  ops.push_back({"Pow", "", make_pow, 0});
  ops.push_back({"Dropout", "", make_dropout, 4});
  ops.push_back({"Gelu", "", make_gelu, 0});
  ops.push_back({"SwiGLU", "", make_swiglu, 0});
  ops.push_back({"IsInf", "", make_is_inf, 0});
  ops.push_back({"Clip", "", make_clip, 0});
  ops.push_back({"Where", "", make_where, 0});
  ops.push_back({"BitCast", "", make_bit_cast, 0});
  ops.push_back({"Pointwise", "ai.cameo", make_program, 0});
  return ops;
}

}  // namespace

std::vector<DeviceOp> pointwise_ops() { return list(); }

}  // namespace cameo::cuda
