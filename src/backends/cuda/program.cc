#include "backends/cuda/program.h"

namespace cameo::cuda {
namespace {

using ops::PointOp;

// With a, b and c for the operands.
const char* formula_of(PointOp op) {
  switch (op) {
    case PointOp::kAdd:
      return "a + b";
    case PointOp::kSub:
      return "a - b";
    case PointOp::kMul:
      return "a * b";
    case PointOp::kDiv:
      return "a / b";
    case PointOp::kMin:
      return "least(a, b)";
    case PointOp::kMax:
      return "most(a, b)";
    case PointOp::kPow:
      return "powf(a, b)";
    case PointOp::kNeg:
      return "-a";
    case PointOp::kAbs:
      return "fabsf(a)";
    case PointOp::kSqrt:
      return "sqrtf(a)";
    case PointOp::kExp:
      return "expf(a)";
    case PointOp::kLog:
      return "logf(a)";
    case PointOp::kErf:
      return "erff(a)";
    case PointOp::kTanh:
      return "tanhf(a)";
    case PointOp::kSigmoid:
      return "sigmoid(a)";
    case PointOp::kRelu:
      return "a < 0.f ? 0.f : a";
    case PointOp::kGelu:
      return "0.5f * a * (1.f + erff(a * 0.70710678118654752f))";
    case PointOp::kGeluTanh:
      return "0.5f * a * (1.f + tanhf(0.79788456080286536f * (a + 0.044715f * a * a * a)))";
    case PointOp::kSwish:
      return "a * sigmoid(a)";
    case PointOp::kHardSwish:
      return "a * fmaxf(0.f, fminf(1.f, a / 6.f + 0.5f))";
    case PointOp::kMish:
      return "a * tanhf(softplus(a))";
    case PointOp::kSoftplus:
      return "softplus(a)";
    case PointOp::kReciprocal:
      return "1.f / a";
    case PointOp::kSquare:
      return "a * a";
    case PointOp::kFloor:
      return "floorf(a)";
    case PointOp::kCeil:
      return "ceilf(a)";
    case PointOp::kSin:
      return "sinf(a)";
    case PointOp::kCos:
      return "cosf(a)";
    case PointOp::kClip:
      return "a != a ? a : fminf(fmaxf(a, b), c)";
    case PointOp::kFma:
      return "a * b + c";
    case PointOp::kLeaky:
      return "a < 0.f ? a * b : a";
    case PointOp::kHardSigmoid:
      return "a != a ? a : fminf(fmaxf(a * b + c, 0.f), 1.f)";
    case PointOp::kElu:
      return "a < 0.f ? b * expm1f(a) : a";
  }
  return "a";
}

// Without those of a norm that the step makes too.
size_t own_inputs(const StepBuilder& b) { return b.norm() ? b.node().inputs.size() : b.num_inputs(); }

}  // namespace

Result<ops::PointProgram> program_of(const StepBuilder& b, size_t first) {
  const size_t all = own_inputs(b), num_inputs = all - std::min(first, all) + (first > 0 ? 1 : 0);
  const std::vector<int64_t> code = b.attrs().integers("program");
  const std::vector<float> constants = b.attrs().reals("constants");
  return ops::decode_point_program(static_cast<int>(num_inputs), code, constants);
}

std::string emit_program(Source& s, const ops::PointProgram& program, std::span<const std::string> inputs, DType result) {
  std::vector<std::string> registers(inputs.begin(), inputs.end());
  const auto operand = [&](int16_t number) {
    return number < 0 ? literal(program.constants[static_cast<size_t>(-1 - number)]) : registers[static_cast<size_t>(number)];
  };
  for (const ops::PointInstruction& i : program.code) {
    const int count = ops::num_operands(i.op);
    const std::string name = s.name("r");
    // The operands' names are letters in the formula.
    std::string text = formula_of(i.op), out;
    if (dtype_size(result) <= 2) {
      if (i.op == PointOp::kGelu) text = "gelu16(a)";
      if (i.op == PointOp::kErf) text = "erf16(a)";
    }
    const std::string values[] = {operand(i.a), count > 1 ? operand(i.b) : "0.f", count > 2 ? operand(i.c) : "0.f"};
    for (size_t k = 0; k < text.size(); ++k) {
      const auto letter = [&](size_t at) { return at < text.size() && (isalnum(text[at]) || text[at] == '_'); };
      const bool alone = text[k] >= 'a' && text[k] <= 'c' && !(k > 0 && letter(k - 1)) && !letter(k + 1);
      if (alone)
        out += values[text[k] - 'a'];
      else
        out += text[k];
    }
    s.line(fmt::format("const float {} = {};", name, out));
    registers.push_back(name);
  }
  return registers.back();
}

Status apply_program(StepBuilder& b, const ops::PointProgram& program, const Operand& from, size_t first, const Operand& to) {
  if (program.code.empty() && from.same_place(to)) return {};
  std::vector<Operand> operands = {from};
  for (size_t i = first; i < own_inputs(b); ++i) {
    CAMEO_ASSIGN(Operand o, b.input(i));
    operands.push_back(std::move(o));
  }
  return map(b, to, operands, [&](Source& s, std::span<const std::string> x) { return emit_program(s, program, x, to.dtype); });
}

}  // namespace cameo::cuda
