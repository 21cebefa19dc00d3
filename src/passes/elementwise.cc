#include "passes/elementwise.h"

#include <string_view>
#include <unordered_set>

#include "ops/cameo_pointwise.h"

namespace cameo::passes {

bool is_elementwise(const ir::Node& node) {
  static const std::unordered_set<std::string_view> kNames = {
      // clang-format off
      "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
      "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
      "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max",
      "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "PRelu", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
      "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu",
      "Where", "Xor",
      // clang-format on
  };
  if (node.op->domain == ops::kCameoDomain) return node.op->name == "Pointwise";
  return node.op->domain.empty() && node.outputs.size() == 1 && kNames.contains(node.op->name);
}

}  // namespace cameo::passes
