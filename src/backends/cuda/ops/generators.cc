// Operators that make tensors from little: Range, ConstantOfShape, EyeLike, windows.
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

Status make_range(StepBuilder& b) {
  CAMEO_ASSIGN(Operand start, b.input(0));
  CAMEO_ASSIGN(Operand delta, b.input(2));
  const Operand y = b.output(0);
  Source s;
  const char* type = b.in_type(0) == DType::kFloat32 ? "double" : compute_type(b.in_type(0));
  s.store(y, "i", fmt::format("({0})(({0}){1} + ({0})i * ({0}){2})", type, s.load(start, "0"), s.load(delta, "0")));
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_constant_of_shape(StepBuilder& b) {
  const Operand y = b.output(0);
  Source s;
  std::string value = "0";
  if (const Tensor t = b.attrs().tensor("value"); t.defined()) {
    CAMEO_ASSIGN(Operand o, b.constant(t));
    value = s.load(o, "0");
  }
  s.store(y, "i", value);
  return s.launch_elements(b, y.dims.num_elements());
}

Status make_eye_like(StepBuilder& b) {
  const Operand y = b.output(0);
  Source s;
  const auto at = s.unravel("i", y.dims);
  s.store(y, "i", fmt::format("({}) - ({}) == {} ? 1 : 0", at[1], at[0], s.number(b.attrs().integer("k"))));
  return s.launch_elements(b, y.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> generator_ops() {
  return {
      {"Range", "", make_range, 0b111},
      {"ConstantOfShape", "", make_constant_of_shape},
      {"EyeLike", "", make_eye_like},
  };
}

}  // namespace cameo::cuda
