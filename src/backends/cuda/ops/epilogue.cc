#include "backends/cuda/ops/epilogue.h"

#include <limits>

namespace cameo::cuda {

using ops::PointOp;

LinearEpilogue match_linear_epilogue(const StepBuilder& b, const ops::PointProgram& program, size_t first, const Dims& y) {
  LinearEpilogue e;
  const auto inputs = static_cast<int16_t>(program.num_inputs);
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ops::PointInstruction& in = program.code[i];
    const int16_t made = i == 0 ? int16_t{0} : static_cast<int16_t>(inputs + i - 1);
    const bool last = i + 1 == program.code.size();
    if (in.op == PointOp::kAdd && (in.a == made) != (in.b == made)) {
      const int16_t other = in.a == made ? in.b : in.a;
      if (other <= 0 || other >= inputs) return {};
      const size_t input = first + static_cast<size_t>(other) - 1;
      const Dims& dims = b.in_dims(input);
      const bool column = dims.rank() > 0 && y.rank() > 0 && dims.back() == y.back() && dims.num_elements() == y.back();
      if (!e.bias && column && b.value(input) && b.in_type(input) == DType::kFloat32)
        e.bias = input;
      else if (!e.addend && dims.num_elements() == y.num_elements() && !b.value(input))
        e.addend = input;
      else
        return {};
      continue;
    }
    if (!last || in.a != made) return {};
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    if (in.op == PointOp::kRelu) {
      e.low = 0, e.high = kInfinity;
    } else if (in.op == PointOp::kClip && in.b < 0 && in.c < 0) {
      e.low = program.constants[static_cast<size_t>(-1 - in.b)];
      e.high = program.constants[static_cast<size_t>(-1 - in.c)];
    } else if (in.op != PointOp::kGelu && in.op != PointOp::kGeluTanh && in.op != PointOp::kSwish) {
      return {};
    }
    e.activates = true;
    e.activation = in.op;
  }
  e.whole = true;
  return e;
}

QuantizedProductArgs::Activation activation_of(const LinearEpilogue& e) {
  using Activation = QuantizedProductArgs::Activation;
  if (!e.activates) return Activation::kNone;
  switch (e.activation) {
    case ops::PointOp::kGelu:
      return Activation::kGelu;
    case ops::PointOp::kGeluTanh:
      return Activation::kGeluTanh;
    case ops::PointOp::kSwish:
      return Activation::kSilu;
    default:
      return Activation::kClamp;
  }
}

}  // namespace cameo::cuda
