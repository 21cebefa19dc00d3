#include "ops/pointwise_program.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace cameo::ops {
namespace {

struct OpInfo {
  PointOp op;
  std::string_view name;
  int operands;
};
constexpr OpInfo kOps[] = {
    {PointOp::kAdd, "Add", 2},
    {PointOp::kSub, "Sub", 2},
    {PointOp::kMul, "Mul", 2},
    {PointOp::kDiv, "Div", 2},
    {PointOp::kMin, "Min", 2},
    {PointOp::kMax, "Max", 2},
    {PointOp::kPow, "Pow", 2},
    {PointOp::kNeg, "Neg", 1},
    {PointOp::kAbs, "Abs", 1},
    {PointOp::kSqrt, "Sqrt", 1},
    {PointOp::kExp, "Exp", 1},
    {PointOp::kLog, "Log", 1},
    {PointOp::kErf, "Erf", 1},
    {PointOp::kTanh, "Tanh", 1},
    {PointOp::kSigmoid, "Sigmoid", 1},
    {PointOp::kRelu, "Relu", 1},
    {PointOp::kGelu, "Gelu", 1},
    {PointOp::kGeluTanh, "GeluTanh", 1},
    {PointOp::kSwish, "Swish", 1},
    {PointOp::kHardSwish, "HardSwish", 1},
    {PointOp::kMish, "Mish", 1},
    {PointOp::kSoftplus, "Softplus", 1},
    {PointOp::kReciprocal, "Reciprocal", 1},
    {PointOp::kSquare, "Square", 1},
    {PointOp::kFloor, "Floor", 1},
    {PointOp::kCeil, "Ceil", 1},
    {PointOp::kSin, "Sin", 1},
    {PointOp::kCos, "Cos", 1},
    {PointOp::kClip, "Clip", 3},
    {PointOp::kFma, "Fma", 3},
    {PointOp::kLeaky, "Leaky", 2},
    {PointOp::kHardSigmoid, "HardSigmoid", 3},
    {PointOp::kElu, "Elu", 2},
};

const OpInfo* find(int64_t number) {
  const auto* at =
      std::find_if(std::begin(kOps), std::end(kOps), [&](const OpInfo& info) { return static_cast<int64_t>(info.op) == number; });
  return at == std::end(kOps) ? nullptr : at;
}

float softplus(float x) { return std::max(x, 0.f) + std::log1p(std::exp(-std::fabs(x))); }
float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

float apply(PointOp op, float a, float b, float c) {
  switch (op) {
    case PointOp::kAdd:
      return a + b;
    case PointOp::kSub:
      return a - b;
    case PointOp::kMul:
      return a * b;
    case PointOp::kDiv:
      return a / b;
    case PointOp::kMin:
      return std::isnan(a) || std::isnan(b) ? a + b : std::min(a, b);
    case PointOp::kMax:
      return std::isnan(a) || std::isnan(b) ? a + b : std::max(a, b);
    case PointOp::kPow:
      return std::pow(a, b);
    case PointOp::kNeg:
      return -a;
    case PointOp::kAbs:
      return std::fabs(a);
    case PointOp::kSqrt:
      return std::sqrt(a);
    case PointOp::kExp:
      return std::exp(a);
    case PointOp::kLog:
      return std::log(a);
    case PointOp::kErf:
      return std::erf(a);
    case PointOp::kTanh:
      return std::tanh(a);
    case PointOp::kSigmoid:
      return sigmoid(a);
    case PointOp::kRelu:
      return a < 0 ? 0.f : a;
    case PointOp::kGelu:
      return 0.5f * a * (1 + std::erf(a / std::numbers::sqrt2_v<float>));
    case PointOp::kGeluTanh:
      return 0.5f * a * (1 + std::tanh(static_cast<float>(std::sqrt(2 / std::numbers::pi)) * (a + 0.044715f * a * a * a)));
    case PointOp::kSwish:
      return a * sigmoid(a);
    case PointOp::kHardSwish:
      return a * std::max(0.f, std::min(1.f, a / 6 + 0.5f));
    case PointOp::kMish:
      return a * std::tanh(softplus(a));
    case PointOp::kSoftplus:
      return softplus(a);
    case PointOp::kReciprocal:
      return 1 / a;
    case PointOp::kSquare:
      return a * a;
    case PointOp::kFloor:
      return std::floor(a);
    case PointOp::kCeil:
      return std::ceil(a);
    case PointOp::kSin:
      return std::sin(a);
    case PointOp::kCos:
      return std::cos(a);
    case PointOp::kClip:
      return std::isnan(a) ? a : std::min(std::max(a, b), c);
    case PointOp::kFma:
      return a * b + c;
    case PointOp::kLeaky:
      return a < 0 ? a * b : a;
    case PointOp::kHardSigmoid:
      return std::isnan(a) ? a : std::min(std::max(a * b + c, 0.f), 1.f);
    case PointOp::kElu:
      return a < 0 ? b * std::expm1(a) : a;
  }
  return 0;
}

}  // namespace

int num_operands(PointOp op) { return find(static_cast<int64_t>(op))->operands; }
std::string_view name_of(PointOp op) { return find(static_cast<int64_t>(op))->name; }
bool is_point_op(int64_t number) { return find(number) != nullptr; }

std::vector<int64_t> encode(const PointProgram& program) {
  std::vector<int64_t> code;
  for (const PointInstruction& i : program.code) code.insert(code.end(), {static_cast<int64_t>(i.op), i.a, i.b, i.c});
  return code;
}

Result<int> decode_point_program(int num_inputs, std::span<const int64_t> code, std::span<const float> constants,
                                 PointInstruction (&instructions)[kMaxPointInstructions]) {
  constexpr ErrorCode kBad = ErrorCode::kInvalidModel;
  if (num_inputs < 0 || num_inputs > kMaxPointInputs)
    return error(kBad, "the fused program has {} inputs; at most {} are allowed", num_inputs, kMaxPointInputs);
  if (code.size() % 4 != 0) return error(kBad, "the fused program has {} numbers, which is no multiple of 4", code.size());
  if (code.size() / 4 > kMaxPointInstructions || constants.size() > 4 * kMaxPointInstructions)
    return error(kBad, "the fused program has {} instructions and {} constants; at most {} and {} are allowed", code.size() / 4,
                 constants.size(), kMaxPointInstructions, 4 * kMaxPointInstructions);
  int count = 0;
  for (size_t i = 0; i < code.size(); i += 4) {
    const OpInfo* info = find(code[i]);
    if (info == nullptr) return error(kBad, "instruction {} of the fused program is operation {}, which does not exist", count, code[i]);
    for (int k = 0; k < 3; ++k) {
      const int64_t operand = code[i + 1 + static_cast<size_t>(k)];
      const bool fits = k >= info->operands ? operand == 0
                        : operand < 0       ? -1 - operand < static_cast<int64_t>(constants.size())
                                            : operand < num_inputs + count;
      if (!fits)
        return error(kBad, "instruction {} of the fused program ({}) has the operand {}, which is not there", count, info->name, operand);
    }
    instructions[count++] = {info->op, static_cast<int16_t>(code[i + 1]), static_cast<int16_t>(code[i + 2]),
                             static_cast<int16_t>(code[i + 3])};
  }
  return count;
}

Result<PointProgram> decode_point_program(int num_inputs, std::span<const int64_t> code, std::span<const float> constants) {
  PointInstruction instructions[kMaxPointInstructions];
  CAMEO_ASSIGN(const int count, decode_point_program(num_inputs, code, constants, instructions));
  return PointProgram{num_inputs, {instructions, instructions + count}, {constants.begin(), constants.end()}};
}

std::string to_string(const PointProgram& program) {
  std::string text;
  for (size_t i = 0; i < program.code.size(); ++i) {
    const PointInstruction& in = program.code[i];
    text += fmt::format("{}r{} = {}(", i == 0 ? "" : "; ", static_cast<size_t>(program.num_inputs) + i, name_of(in.op));
    const int16_t operands[] = {in.a, in.b, in.c};
    for (int k = 0; k < num_operands(in.op); ++k) {
      if (k > 0) text += ", ";
      if (operands[k] < 0)
        text += fmt::format("{}", program.constants[static_cast<size_t>(-1 - operands[k])]);
      else
        text += fmt::format("{}{}", operands[k] < program.num_inputs ? "x" : "r", operands[k]);
    }
    text += ")";
  }
  return text;
}

float evaluate(const PointProgram& program, const float* inputs) {
  float registers[kMaxPointInputs + kMaxPointInstructions];
  std::copy_n(inputs, program.num_inputs, registers);
  const auto read = [&](int16_t operand) {
    return operand < 0 ? program.constants[static_cast<size_t>(-1 - operand)] : registers[operand];
  };
  int next = program.num_inputs;
  for (const PointInstruction& i : program.code) {
    const int n = num_operands(i.op);
    registers[next] = apply(i.op, read(i.a), n > 1 ? read(i.b) : 0.f, n > 2 ? read(i.c) : 0.f);
    ++next;
  }
  return next == 0 ? 0.f : registers[next - 1];
}

}  // namespace cameo::ops
