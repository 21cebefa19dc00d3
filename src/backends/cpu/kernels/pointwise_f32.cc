// Operators that work element by element on float32 with broadcasting, as programs of pointwise.isa.cc: the fused one
// (ai.cameo.Pointwise), and the plain ones that fusion left.
#include "backends/cpu/kernels/pointwise_run.h"
#include "ops/cameo_pointwise.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

using ops::PointInstruction;
using ops::PointOp;

Status check_inputs(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (node.inputs.size() > ops::kMaxPointInputs) return refuse("there are more than 16 inputs");
  for (ir::ValueId id : node.inputs) {
    if (id == ir::kNoValue) return refuse("an input is absent");
    const ir::Type& type = facts[id].type;
    if (type.dtype != DType::kFloat32) return refuse("an input is not float32");
    if (!type.shape || type.shape->size() > Dims::kInline) return refuse("the rank of an input is not known, or above 8");
  }
  return {};
}

// The inputs of the node as float32 tensors.
struct Inputs {
  const Tensor* tensors[ops::kMaxPointInputs];
  size_t count = 0;
  std::span<const Tensor* const> span() const { return {tensors, count}; }
};
Status inputs_of(ops::KernelContext& c, Inputs& inputs) {
  if (c.num_inputs() > ops::kMaxPointInputs) return error(ErrorCode::kInvalidModel, "the node has {} inputs", c.num_inputs());
  for (; inputs.count < c.num_inputs(); ++inputs.count) {
    if (!c.has_input(inputs.count) || c.input(inputs.count).dtype() != DType::kFloat32)
      return error(ErrorCode::kInvalidModel, "input {} must be a float32 tensor", inputs.count);
    inputs.tensors[inputs.count] = &c.input(inputs.count);
  }
  return {};
}

Status run_fused(ops::KernelContext& c) {
  Inputs inputs;
  CAMEO_TRY(inputs_of(c, inputs));
  const auto& attrs = c.attrs<ops::CameoPointwiseAttrs>();
  ops::PointInstruction code[ops::kMaxPointInstructions];
  CAMEO_ASSIGN(const int count, ops::decode_point_program(static_cast<int>(inputs.count), attrs.program, attrs.constants, code));
  if (count == 0 && inputs.count != 1)
    return error(ErrorCode::kInvalidModel, "the fused program is empty, but has {} inputs", inputs.count);
  return cpu::run_pointwise(c, std::span(code, static_cast<size_t>(count)), attrs.constants.data(), inputs.span(), c.output(0));
}

// Operators before version 7 broadcast in another way.
Status check_plain(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (node.version < 7) return refuse("the node is of a version before 7, when broadcasting was another");
  return check_inputs(node, facts);
}

template <PointOp Op, size_t Operands>
Status run_plain(ops::KernelContext& c) {
  Inputs inputs;
  CAMEO_TRY(inputs_of(c, inputs));
  if (inputs.count != Operands) return error(ErrorCode::kInvalidModel, "the node has {} inputs", inputs.count);
  const PointInstruction code[] = {{.op = Op, .a = 0, .b = Operands > 1 ? 1 : 0}};
  return cpu::run_pointwise(c, code, nullptr, inputs.span(), c.output(0));
}

// op(op(x0, x1), x2)…
template <PointOp Op>
Status run_chain(ops::KernelContext& c) {
  Inputs inputs;
  CAMEO_TRY(inputs_of(c, inputs));
  if (inputs.count == 0) return error(ErrorCode::kInvalidModel, "the node has no inputs");
  PointInstruction code[ops::kMaxPointInputs];
  for (size_t i = 1; i < inputs.count; ++i)
    code[i - 1] = {.op = Op, .a = static_cast<int16_t>(i == 1 ? 0 : inputs.count + i - 2), .b = static_cast<int16_t>(i)};
  return cpu::run_pointwise(c, {code, inputs.count - 1}, nullptr, inputs.span(), c.output(0));
}

}  // namespace

CAMEO_DEFINE_TACTIC(pointwise_f32) = {
    .name = "pointwise_f32",
    .op = "Pointwise",
    .domain = ops::kCameoDomain,
    .supports = &check_inputs,
    .run = &run_fused,
};

#define CAMEO_PLAIN(tactic, onnx_name, check, ...) \
  CAMEO_DEFINE_TACTIC(tactic) = {.name = #tactic, .op = onnx_name, .supports = &check, .run = &__VA_ARGS__};

CAMEO_PLAIN(add_f32, "Add", check_plain, run_plain<PointOp::kAdd, 2>)
CAMEO_PLAIN(sub_f32, "Sub", check_plain, run_plain<PointOp::kSub, 2>)
CAMEO_PLAIN(mul_f32, "Mul", check_plain, run_plain<PointOp::kMul, 2>)
CAMEO_PLAIN(div_f32, "Div", check_plain, run_plain<PointOp::kDiv, 2>)
CAMEO_PLAIN(pow_f32, "Pow", check_plain, run_plain<PointOp::kPow, 2>)
CAMEO_PLAIN(prelu_f32, "PRelu", check_plain, run_plain<PointOp::kLeaky, 2>)
CAMEO_PLAIN(min_f32, "Min", check_plain, run_chain<PointOp::kMin>)
CAMEO_PLAIN(max_f32, "Max", check_plain, run_chain<PointOp::kMax>)
CAMEO_PLAIN(sum_f32, "Sum", check_plain, run_chain<PointOp::kAdd>)
CAMEO_PLAIN(neg_f32, "Neg", check_inputs, run_plain<PointOp::kNeg, 1>)
CAMEO_PLAIN(abs_f32, "Abs", check_inputs, run_plain<PointOp::kAbs, 1>)
CAMEO_PLAIN(sqrt_f32, "Sqrt", check_inputs, run_plain<PointOp::kSqrt, 1>)
CAMEO_PLAIN(exp_f32, "Exp", check_inputs, run_plain<PointOp::kExp, 1>)
CAMEO_PLAIN(log_f32, "Log", check_inputs, run_plain<PointOp::kLog, 1>)
CAMEO_PLAIN(erf_f32, "Erf", check_inputs, run_plain<PointOp::kErf, 1>)
CAMEO_PLAIN(tanh_f32, "Tanh", check_inputs, run_plain<PointOp::kTanh, 1>)
CAMEO_PLAIN(sigmoid_f32, "Sigmoid", check_inputs, run_plain<PointOp::kSigmoid, 1>)
CAMEO_PLAIN(relu_f32, "Relu", check_inputs, run_plain<PointOp::kRelu, 1>)
CAMEO_PLAIN(hard_swish_f32, "HardSwish", check_inputs, run_plain<PointOp::kHardSwish, 1>)
CAMEO_PLAIN(mish_f32, "Mish", check_inputs, run_plain<PointOp::kMish, 1>)
CAMEO_PLAIN(softplus_f32, "Softplus", check_inputs, run_plain<PointOp::kSoftplus, 1>)
CAMEO_PLAIN(reciprocal_f32, "Reciprocal", check_inputs, run_plain<PointOp::kReciprocal, 1>)
CAMEO_PLAIN(floor_f32, "Floor", check_inputs, run_plain<PointOp::kFloor, 1>)
CAMEO_PLAIN(ceil_f32, "Ceil", check_inputs, run_plain<PointOp::kCeil, 1>)
CAMEO_PLAIN(sin_f32, "Sin", check_inputs, run_plain<PointOp::kSin, 1>)
CAMEO_PLAIN(cos_f32, "Cos", check_inputs, run_plain<PointOp::kCos, 1>)
#undef CAMEO_PLAIN

}  // namespace cameo::tactics
