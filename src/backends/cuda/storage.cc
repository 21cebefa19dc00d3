// Which values a run keeps in 16 bits where the precision allows it: what products, convolutions, attention and norms make, and
// what follows from that element by element or by moving. Reductions and what only feeds them stay in 32 bits, and so does
// everything that does not come from data of the model's own scale (positions, masks, angles).
#include <array>

#include "backends/cuda/runner.h"

namespace cameo::cuda {
namespace {

using Place = runtime::Specialization::Place;

bool in(std::string_view name, std::initializer_list<std::string_view> list) {
  for (std::string_view other : list)
    if (name == other) return true;
  return false;
}

bool is_heavy(std::string_view op) {
  return in(op, {"MatMul", "Gemm", "Conv", "ConvTranspose", "Attention", "LayerNormalization", "RMSNormalization", "GroupNormalization",
                 "InstanceNormalization", "BatchNormalization", "QuantizedMatMul", "QuantizedConv", "QuantizedWeightMatMul", "Float8MatMul",
                 "Float8Conv", "DequantizeLinear"});
}
bool keeps_scale(std::string_view op) {
  return in(op, {"Add",
                 "Sub",
                 "Mul",
                 "Div",
                 "Relu",
                 "Sigmoid",
                 "Tanh",
                 "Gelu",
                 "Erf",
                 "Clip",
                 "HardSwish",
                 "Swish",
                 "Mish",
                 "LeakyRelu",
                 "PRelu",
                 "Elu",
                 "HardSigmoid",
                 "Pointwise",
                 "Softmax",
                 "Where",
                 "Max",
                 "Min",
                 "Transpose",
                 "Slice",
                 "Concat",
                 "Split",
                 "Expand",
                 "Tile",
                 "Pad",
                 "Identity",
                 "MaxPool",
                 "AveragePool",
                 "Resize",
                 "Upsample",
                 "Dropout",
                 "GlobalAveragePool",
                 "Gather",
                 "GatherND",
                 "GatherElements",
                 "RotaryEmbedding",
                 "ScatterND",
                 "Neg",
                 "DepthToSpace",
                 "SpaceToDepth",
                 "GlobalMaxPool",
                 "SwiGLU",
                 "Reshape",
                 "Flatten",
                 "Squeeze",
                 "Unsqueeze"});
}

}  // namespace

void Runner::assign_storage(Prepared& p) const {
  const auto& spec = p.spec;
  p.storage.assign(spec.values.size(), DType::kUndefined);
  for (size_t i = 0; i < p.storage.size(); ++i) p.storage[i] = spec.facts[i].type.dtype;
  const DType narrow = activation_type(session_.precision);
  if (narrow == DType::kFloat32) return;
  std::vector<char> wide(p.storage.size(), 0), is_view(p.storage.size(), 0);
  for (ir::ValueId id : graph_.outputs) wide[id] = 1;
  for (ir::ValueId id : graph_.inputs) wide[id] = 1;
  for (const auto& step : spec.steps) {
    const ir::Node& node = graph_.nodes[step.node];
    const std::string_view op = node.op->name;
    const bool reduces = op.starts_with("Reduce") && op != "ReduceMean" && op != "ReduceMax" && op != "ReduceMin";
    const bool host = !step.shapes_known || stays_on_host(node) || find_device_op(node) == nullptr;
    if (host || reduces || op == "CumSum") ir::for_each_use(node, [&](ir::ValueId id) { wide[id] = 1; });
    if (host)
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue) wide[id] = 1;
  }
  for (ir::ValueId id : spec.views) is_view[id] = 1;
  // A view lies in its source's memory: what either must be, both are.
  for (bool changed = true; changed;) {
    changed = false;
    for (ir::ValueId id : spec.views)
      if (wide[id] != wide[spec.values[id].source]) {
        wide[id] = wide[spec.values[id].source] = 1;
        changed = true;
      }
  }
  const auto narrowed = [&](ir::ValueId id) { return id != ir::kNoValue && p.storage[id] == narrow; };
  for (const ir::Node& node : graph_.nodes) {
    const std::string_view op = node.op->name;
    // An input of 16 bits loses nothing; inside of the model a cast to 32 bits is there for what follows.
    const bool of_input = op == "Cast" && spec.values[node.inputs[0]].place == Place::kInput;
    bool makes = is_heavy(op) || (of_input && spec.facts[node.inputs[0]].type.dtype == narrow);
    if (!makes && keeps_scale(op)) {
      for (ir::ValueId id : node.inputs) makes |= narrowed(id) && spec.facts[id].type.dtype == DType::kFloat32;
      // Rows of an embedding table.
      if (op == "Gather" && spec.values[node.inputs[0]].place == Place::kConstant)
        makes |= spec.facts[node.inputs[0]].type.dtype == DType::kFloat32 && spec.facts[node.inputs[0]].constant.rank() >= 2 &&
                 spec.facts[node.inputs[0]].constant.num_elements() >= 65536;
    }
    for (ir::ValueId id : node.outputs) {
      if (id == ir::kNoValue || spec.facts[id].type.dtype != DType::kFloat32) continue;
      const Place place = spec.values[id].place;
      if (is_view[id])
        p.storage[id] = p.storage[spec.values[id].source];
      else if (makes && !wide[id] && place == Place::kArena)
        p.storage[id] = narrow;
    }
  }
}

// A Cast between elements that lie in memory alike does nothing: its result is a view of what it reads.
void Runner::drop_casts(Prepared& p) const {
  auto& spec = p.spec;
  std::erase_if(spec.steps, [&](const auto& step) {
    const ir::Node& node = graph_.nodes[step.node];
    if (node.op->name != "Cast") return false;
    const ir::ValueId from = node.inputs[0], to = node.outputs[0];
    const ir::ValueId source = spec.values[from].place == Place::kView ? spec.values[from].source : from;
    Place &lies = spec.values[source].place, &there = spec.values[to].place;
    if (p.storage[from] != p.storage[to] || (there != Place::kOutput && there != Place::kArena)) return false;
    if (lies != Place::kArena && (lies != Place::kInput || there == Place::kOutput)) return false;
    if (there == Place::kOutput) lies = Place::kOutput;
    there = Place::kView;
    spec.values[to].source = source;
    spec.views.push_back(to);
    for (ir::ValueId id : spec.views)
      if (spec.values[id].source == to) spec.values[id].source = source;
    return true;
  });
}

}  // namespace cameo::cuda
