#include "passes/program_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/region.h"

namespace cameo::passes {

using ops::PointOp;

namespace {

struct Simple {
  std::string_view name;
  PointOp op;
};
// Operators that are one operation, whatever their attributes.
constexpr Simple kUnary[] = {{"Neg", PointOp::kNeg},
                             {"Abs", PointOp::kAbs},
                             {"Sqrt", PointOp::kSqrt},
                             {"Exp", PointOp::kExp},
                             {"Log", PointOp::kLog},
                             {"Erf", PointOp::kErf},
                             {"Tanh", PointOp::kTanh},
                             {"Sigmoid", PointOp::kSigmoid},
                             {"Relu", PointOp::kRelu},
                             {"HardSwish", PointOp::kHardSwish},
                             {"Mish", PointOp::kMish},
                             {"Softplus", PointOp::kSoftplus},
                             {"Reciprocal", PointOp::kReciprocal},
                             {"Floor", PointOp::kFloor},
                             {"Ceil", PointOp::kCeil},
                             {"Sin", PointOp::kSin},
                             {"Cos", PointOp::kCos}};
// Before version 7 these broadcast on demand only.
constexpr Simple kBinary[] = {{"Add", PointOp::kAdd}, {"Sub", PointOp::kSub}, {"Mul", PointOp::kMul},
                              {"Div", PointOp::kDiv}, {"Pow", PointOp::kPow}, {"PRelu", PointOp::kLeaky}};
constexpr Simple kVariadic[] = {{"Sum", PointOp::kAdd}, {"Min", PointOp::kMin}, {"Max", PointOp::kMax}, {"Mean", PointOp::kAdd}};
constexpr std::string_view kOthers[] = {"Gelu", "Swish", "LeakyRelu", "HardSigmoid", "Elu", "Selu", "Softsign", "Clip"};

const Simple* find(std::span<const Simple> table, std::string_view name) {
  const auto it = std::ranges::find_if(table, [&](const Simple& entry) { return entry.name == name; });
  return it == table.end() ? nullptr : &*it;
}

float number_attr(const ir::Node& node, std::string_view name, float otherwise) { return attr<float>(node, name).value_or(otherwise); }

}  // namespace

bool ProgramBuilder::is_pointwise(const GraphView& view, const ir::Node& node) {
  if (node.outputs.size() != 1 || view.dtype(node.outputs[0]) != DType::kFloat32) return false;
  for (ir::ValueId id : node.inputs)
    if (id != ir::kNoValue && view.dtype(id) != DType::kFloat32) return false;
  if (is_cameo(node, "Pointwise")) return true;
  if (!node.op->domain.empty()) return false;
  const std::string_view name = node.op->name;
  if (find(kUnary, name)) return true;
  if (find(kBinary, name)) return node.version >= 7;
  if (find(kVariadic, name)) return node.version >= 8;
  if (name == "Selu" && node.version < 6) return false;
  if (name == "Clip" && node.version >= 11)
    for (size_t i : {size_t{1}, size_t{2}}) {
      const ir::ValueId limit = GraphView::input(node, i);
      const auto number = number_of(view, limit);
      if (limit != ir::kNoValue && (!number || std::isnan(*number))) return false;
    }
  return std::ranges::find(kOthers, name) != std::end(kOthers);
}

ProgramBuilder::Operand ProgramBuilder::operand(ir::ValueId id) {
  if (const auto it = made_.find(id); it != made_.end()) return it->second;
  const Operand made = {Operand::Kind::kInput, inputs_.size()};
  inputs_.push_back(id);
  made_.emplace(id, made);
  return made;
}

ProgramBuilder::Operand ProgramBuilder::number(double value) {
  const auto wanted = static_cast<float>(value);
  size_t i = 0;
  while (i < constants_.size() && std::bit_cast<uint32_t>(constants_[i]) != std::bit_cast<uint32_t>(wanted)) ++i;
  if (i == constants_.size()) constants_.push_back(wanted);
  return {Operand::Kind::kConstant, i};
}

ProgramBuilder::Operand ProgramBuilder::emit(PointOp op, std::vector<Operand> operands) {
  for (size_t i = 0; i < steps_.size(); ++i)
    if (steps_[i].op == op && steps_[i].operands == operands) return {Operand::Kind::kStep, i};
  steps_.push_back({op, std::move(operands)});
  return {Operand::Kind::kStep, steps_.size() - 1};
}

ProgramBuilder::Operand ProgramBuilder::append(const ops::PointProgram& program, std::span<const Operand> operands) {
  std::vector<Operand> registers(operands.begin(), operands.end());
  for (const ops::PointInstruction& in : program.code) {
    const int16_t read[] = {in.a, in.b, in.c};
    std::vector<Operand> inputs;
    for (int k = 0; k < ops::num_operands(in.op); ++k)
      inputs.push_back(read[k] < 0 ? number(program.constants[static_cast<size_t>(-1 - read[k])])
                                   : registers[static_cast<size_t>(read[k])]);
    registers.push_back(emit(in.op, std::move(inputs)));
  }
  return registers.back();
}

void ProgramBuilder::begin_epilogue(const ops::PointProgram& program, std::span<const ir::ValueId> operands, ir::ValueId result) {
  inputs_.push_back(ir::kNoValue);
  std::vector<Operand> registers = {{Operand::Kind::kInput, 0}};
  for (ir::ValueId id : operands) registers.push_back(operand(id));
  made_[result] = append(program, registers);
}

void ProgramBuilder::add_program(const ops::PointProgram& program, std::span<const ir::ValueId> operands, ir::ValueId result) {
  std::vector<Operand> registers;
  for (ir::ValueId id : operands) registers.push_back(operand(id));
  made_[result] = append(program, registers);
}

void ProgramBuilder::add_operation(PointOp op, std::vector<ir::ValueId> operands, ir::ValueId result) {
  std::vector<Operand> read;
  for (ir::ValueId id : operands) read.push_back(operand(id));
  made_[result] = emit(op, std::move(read));
}

bool ProgramBuilder::add_variadic(const ir::Node& node, PointOp op) {
  Operand result = operand(node.inputs[0]);
  for (size_t i = 1; i < node.inputs.size(); ++i) result = emit(op, {result, operand(node.inputs[i])});
  if (node.op->name == "Mean") result = emit(PointOp::kDiv, {result, number(static_cast<double>(node.inputs.size()))});
  made_[node.outputs[0]] = result;
  return true;
}

bool ProgramBuilder::add(const ir::Node& node) {
  if (!is_pointwise(view_, node)) return false;
  const ir::ValueId y = node.outputs[0];
  if (is_cameo(node, "Pointwise")) {
    auto program = node.attrs_as<ops::CameoPointwiseAttrs>().decode(node.inputs.size());
    if (!program.ok()) return false;
    add_program(*program, node.inputs, y);
    return true;
  }
  const std::string_view name = node.op->name;
  // A number, unless it is what gives the result its rank.
  const auto& shape = view_.shape(y);
  const auto read = [&](size_t i) {
    const ir::ValueId id = node.inputs[i];
    const auto value = number_of(view_, id);
    bool others_have_rank = false;
    for (size_t k = 0; k < node.inputs.size(); ++k)
      if (node.inputs[k] != ir::kNoValue && node.inputs[k] != id && !number_of(view_, node.inputs[k])) {
        const auto& other = view_.shape(node.inputs[k]);
        others_have_rank |= shape && other && other->size() == shape->size();
      }
    return value && others_have_rank ? number(*value) : operand(id);
  };
  if (find(kVariadic, name)) return add_variadic(node, find(kVariadic, name)->op);
  if (const Simple* binary = find(kBinary, name)) {
    const Operand a = read(0), b = read(1);
    const auto value = number_of(view_, node.inputs[1]);
    int exponent = 0;
    if (name == "Pow" && value == 2.0 && b.kind == Operand::Kind::kConstant) {
      made_[y] = emit(PointOp::kSquare, {a});
    } else if (name == "Div" && value && b.kind == Operand::Kind::kConstant && std::isnormal(static_cast<float>(*value)) &&
               std::isnormal(static_cast<float>(1 / *value)) && std::fabs(std::frexp(*value, &exponent)) == 0.5) {
      made_[y] = emit(PointOp::kMul, {a, number(1 / *value)});  // exact for a power of two; else a later Round may show the difference
    } else {
      made_[y] = emit(binary->op, {a, b});
    }
    return true;
  }
  const Operand x = operand(node.inputs[0]);
  if (const Simple* unary = find(kUnary, name)) {
    made_[y] = emit(unary->op, {x});
  } else if (name == "Gelu") {
    made_[y] = emit(attr<std::string>(node, "approximate") == "tanh" ? PointOp::kGeluTanh : PointOp::kGelu, {x});
  } else if (name == "Swish") {
    const float alpha = number_attr(node, "alpha", 1);
    made_[y] = alpha == 1 ? emit(PointOp::kSwish, {x})
                          : emit(PointOp::kMul, {x, emit(PointOp::kSigmoid, {emit(PointOp::kMul, {x, number(alpha)})})});
  } else if (name == "LeakyRelu") {
    made_[y] = emit(PointOp::kLeaky, {x, number(number_attr(node, "alpha", 0.01f))});
  } else if (name == "HardSigmoid") {
    made_[y] = emit(PointOp::kHardSigmoid, {x, number(number_attr(node, "alpha", 0.2f)), number(number_attr(node, "beta", 0.5f))});
  } else if (name == "Elu") {
    made_[y] = emit(PointOp::kElu, {x, number(number_attr(node, "alpha", 1))});
  } else if (name == "Selu") {
    const Operand elu = emit(PointOp::kElu, {x, number(number_attr(node, "alpha", 1.67326319217681884765625f))});
    made_[y] = emit(PointOp::kMul, {elu, number(number_attr(node, "gamma", 1.05070102214813232421875f))});
  } else if (name == "Softsign") {
    made_[y] = emit(PointOp::kDiv, {x, emit(PointOp::kAdd, {emit(PointOp::kAbs, {x}), number(1)})});
  } else {  // Clip
    double limits[] = {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
    for (size_t i : {size_t{1}, size_t{2}})
      if (const auto limit = node.version >= 11 ? number_of(view_, GraphView::input(node, i))
                                                : std::optional<double>(attr<float>(node, i == 1 ? "min" : "max")))
        limits[i - 1] = *limit;
    made_[y] = emit(PointOp::kClip, {x, number(limits[0]), number(limits[1])});
  }
  return true;
}

std::optional<FusedProgram> ProgramBuilder::finish(ir::ValueId result) const {
  using Kind = Operand::Kind;
  const auto it = made_.find(result);
  if (it == made_.end() || inputs_.size() > ops::kMaxPointInputs) return std::nullopt;
  FusedProgram fused = {inputs_, {static_cast<int>(inputs_.size()), {}, {}}};
  // A result that is no instruction's: only an epilogue of nothing.
  if (it->second.kind != Kind::kStep)
    return it->second == Operand{Kind::kInput, 0} && inputs_.size() == 1 ? std::optional(fused) : std::nullopt;

  std::vector<Step> steps(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(it->second.index) + 1);
  const auto count_uses = [&] {
    std::vector<int> uses(steps.size(), 0);
    uses.back() = 1;
    for (size_t i = steps.size(); i-- > 0;)
      if (uses[i] > 0)
        for (const Operand& o : steps[i].operands)
          if (o.kind == Kind::kStep) ++uses[o.index];
    return uses;
  };
  std::vector<int> uses = count_uses();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].op != PointOp::kAdd || uses[i] == 0) continue;
    for (size_t k : {size_t{0}, size_t{1}}) {
      const Operand product = steps[i].operands[k], addend = steps[i].operands[1 - k];
      if (product.kind != Kind::kStep || steps[product.index].op != PointOp::kMul || uses[product.index] != 1) continue;
      steps[i] = {PointOp::kFma, {steps[product.index].operands[0], steps[product.index].operands[1], addend}};
      break;
    }
  }
  uses = count_uses();
  std::vector<int16_t> registers(steps.size(), 0);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (uses[i] == 0) continue;
    int16_t read[3] = {};
    for (size_t k = 0; k < steps[i].operands.size(); ++k) {
      const Operand& o = steps[i].operands[k];
      if (o.kind == Kind::kInput) {
        read[k] = static_cast<int16_t>(o.index);
      } else if (o.kind == Kind::kStep) {
        read[k] = registers[o.index];
      } else {
        auto& kept = fused.program.constants;
        size_t c = 0;
        while (c < kept.size() && std::bit_cast<uint32_t>(kept[c]) != std::bit_cast<uint32_t>(constants_[o.index])) ++c;
        if (c == kept.size()) kept.push_back(constants_[o.index]);
        read[k] = static_cast<int16_t>(-1 - static_cast<int>(c));
      }
    }
    if (fused.program.code.size() == ops::kMaxPointInstructions) return std::nullopt;
    registers[i] = static_cast<int16_t>(inputs_.size() + fused.program.code.size());
    fused.program.code.push_back({steps[i].op, read[0], read[1], read[2]});
  }
  return fused;
}

ir::Node cameo_node(std::string_view op, std::vector<ir::ValueId> inputs, std::shared_ptr<const ir::Attrs> attrs, size_t num_outputs) {
  ir::Node node;
  node.op = ops::find_op(ops::kCameoDomain, op);
  node.version = 1;
  node.inputs = std::move(inputs);
  node.outputs.assign(num_outputs, 0);
  node.attrs = std::move(attrs);
  return node;
}

bool is_cameo(const ir::Node& node, std::string_view op) { return node.op->domain == ops::kCameoDomain && node.op->name == op; }

ir::Node pointwise_node(const FusedProgram& fused) {
  auto attrs = std::make_shared<ops::CameoPointwiseAttrs>();
  attrs->program = ops::encode(fused.program);
  attrs->constants = fused.program.constants;
  return cameo_node("Pointwise", fused.inputs, std::move(attrs));
}

}  // namespace cameo::passes
