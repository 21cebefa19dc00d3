#include "backends/cuda/channel_gates.h"

#include <algorithm>
#include <optional>
#include <set>

#include "backends/cuda/attributes.h"
#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/ops/ops.h"
#include "ops/pointwise_program.h"

namespace cameo::cuda {
namespace {

using runtime::Specialization;
using Place = Specialization::Place;

bool is_ours(const ir::Node& node, std::string_view name) { return node.op->domain == "ai.cameo" && node.op->name == name; }

class Finder {
 public:
  Finder(const ir::Graph& graph, Specialization& spec, std::span<const DType> storage, DType type, const DeviceTraits& device)
      : graph_(graph),
        spec_(spec),
        storage_(storage),
        type_(type),
        device_(device),
        maker_(spec.values.size(), kNone),
        uses_(maker_.size(), 0) {
    for (const auto& step : spec_.steps)
      for (ir::ValueId id : graph_.nodes[step.node].outputs)
        if (id != ir::kNoValue) maker_[id] = step.node;
    for (const ir::Node& node : graph_.nodes) ir::for_each_use(node, [&](ir::ValueId id) { ++uses_[id]; });
    for (ir::ValueId id : graph_.outputs) ++uses_[id];
  }

  std::map<uint32_t, ChannelGate> run() {
    std::map<uint32_t, ChannelGate> found;
    std::set<uint32_t> gone;
    for (const auto& step : spec_.steps) {
      std::vector<uint32_t> taken;
      if (auto gate = match(graph_.nodes[step.node], taken)) {
        found.emplace(step.node, std::move(*gate));
        gone.insert(taken.begin(), taken.end());
      }
    }
    std::erase_if(spec_.steps, [&](const auto& step) { return gone.count(step.node) > 0; });
    for (const uint32_t n : gone) spec_.values[graph_.nodes[n].outputs[0]].place = Place::kUnused;
    return found;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  Dims dims_of(ir::ValueId id) const {
    const ir::Type& type = spec_.facts[id].type;
    return type.is_tensor() && type.shape ? ir::to_dims(*type.shape).value_or(Dims()) : Dims();
  }
  const Tensor* constant(ir::ValueId id) const {
    if (id == ir::kNoValue || spec_.values[id].place != Place::kConstant) return nullptr;
    const Tensor& t = spec_.facts[id].constant;
    return t.defined() && t.dtype() == DType::kFloat32 ? &t : nullptr;
  }
  // The node that makes the value, which nothing else reads.
  const ir::Node* maker(ir::ValueId id, std::vector<uint32_t>& taken) const {
    if (maker_[id] == kNone || uses_[id] != 1 || spec_.values[id].place != Place::kArena) return nullptr;
    const ir::Node& node = graph_.nodes[maker_[id]];
    if (node.outputs.size() != 1) return nullptr;
    taken.push_back(maker_[id]);
    return &node;
  }

  // A product with the channels of one pixel, its bias, and the activation behind it.
  struct Product {
    ir::ValueId input = ir::kNoValue, weight = ir::kNoValue, bias = ir::kNoValue;
    GateActivation activation = GateActivation::kNone;
    float slope = 0, offset = 0;
  };
  std::optional<Product> product(const ir::Node& node) const {
    const Attributes attrs(*node.attrs);
    if (!is_ours(node, "Conv") || attrs.integer("channels_last") == 0 || attrs.integer("group", 1) != 1 || node.inputs.size() > 3)
      return std::nullopt;
    const Dims w = dims_of(node.inputs[1]), x = dims_of(node.inputs[0]), y = dims_of(node.outputs[0]);
    if (!constant(node.inputs[1]) || w.num_elements() != w[0] * w[1] || x.num_elements() != x[0] * w[1] || y.num_elements() != x[0] * w[0])
      return std::nullopt;
    Product p{.input = node.inputs[0], .weight = node.inputs[1]};
    const auto program =
        ops::decode_point_program(static_cast<int>(node.inputs.size()) - 1, attrs.integers("program"), attrs.reals("constants"));
    if (!program.ok()) return std::nullopt;
    int16_t made = 0;
    for (size_t i = 0; i < program->code.size(); ++i) {
      const ops::PointInstruction& in = program->code[i];
      const auto constant_of = [&](int16_t operand) { return program->constants[static_cast<size_t>(-1 - operand)]; };
      if (p.activation != GateActivation::kNone) return std::nullopt;
      if (in.op == ops::PointOp::kAdd && p.bias == ir::kNoValue && node.inputs.size() == 3 && std::min(in.a, in.b) >= 0 &&
          (in.a == made || in.b == made) && in.a + in.b == made + 1) {
        p.bias = node.inputs[2];
        if (!constant(p.bias) || dims_of(p.bias).num_elements() != w[0]) return std::nullopt;
      } else if (in.a != made) {
        return std::nullopt;
      } else if (in.op == ops::PointOp::kRelu) {
        p.activation = GateActivation::kRelu;
      } else if (in.op == ops::PointOp::kSwish) {
        p.activation = GateActivation::kSilu;
      } else if (in.op == ops::PointOp::kHardSwish) {
        p.activation = GateActivation::kHardSwish;
      } else if (in.op == ops::PointOp::kSigmoid) {
        p.activation = GateActivation::kSigmoid;
      } else if (in.op == ops::PointOp::kHardSigmoid && in.b < 0 && in.c < 0) {
        p.activation = GateActivation::kHardSigmoid;
        p.slope = constant_of(in.b), p.offset = constant_of(in.c);
      } else {
        return std::nullopt;
      }
      made = static_cast<int16_t>(program->num_inputs + static_cast<int>(i));
    }
    return p;
  }

  // Whether the node gives the means over all axes of x but the first and the last.
  bool is_mean(const ir::Node& node, ir::ValueId x, size_t rank) const {
    if (!node.op->domain.empty() || node.op->name != "ReduceMean" || node.inputs[0] != x) return false;
    const Attributes attrs(*node.attrs);
    std::vector<int64_t> axes = attrs.integers("axes");
    if (node.inputs.size() > 1 && node.inputs[1] != ir::kNoValue) {
      const Tensor& list = spec_.facts[node.inputs[1]].constant;
      if (!list.defined() || list.dtype() != DType::kInt64) return false;
      axes.assign(list.data<int64_t>(), list.data<int64_t>() + list.num_elements());
    }
    std::set<int64_t> reduced;
    for (int64_t axis : axes) reduced.insert(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
    return reduced.size() == rank - 2 && !reduced.count(0) && !reduced.count(static_cast<int64_t>(rank) - 1);
  }

  std::optional<ChannelGate> match(const ir::Node& node, std::vector<uint32_t>& taken) const {
    if (!is_ours(node, "Pointwise") || node.inputs.size() != 2 || node.outputs.size() != 1) return std::nullopt;
    const Attributes attrs(*node.attrs);
    const auto program = ops::decode_point_program(2, attrs.integers("program"), attrs.reals("constants"));
    if (!program.ok() || program->code.size() != 1 || program->code[0].op != ops::PointOp::kMul ||
        std::min(program->code[0].a, program->code[0].b) != 0 || std::max(program->code[0].a, program->code[0].b) != 1)
      return std::nullopt;
    const ir::ValueId out = node.outputs[0];
    const Dims y = dims_of(out);
    for (const size_t side : {0, 1}) {
      const ir::ValueId x = node.inputs[side], gate = node.inputs[1 - side];
      taken.clear();
      if (!(dims_of(x) == y) || y.rank() < 3 || storage_[x] != type_ || storage_[out] != type_) continue;
      const Dims g = dims_of(gate);
      if (g.rank() != y.rank() || g[0] != y[0] || g.back() != y.back() || g.num_elements() != y[0] * y.back()) continue;
      const ir::Node* excite_node = maker(gate, taken);
      const auto excite = excite_node ? product(*excite_node) : std::nullopt;
      const ir::Node* squeeze_node = excite ? maker(excite->input, taken) : nullptr;
      const auto squeeze = squeeze_node ? product(*squeeze_node) : std::nullopt;
      const ir::Node* mean = squeeze ? maker(squeeze->input, taken) : nullptr;
      if (!mean || !is_mean(*mean, x, y.rank())) continue;
      if (squeeze->activation == GateActivation::kHardSigmoid && excite->activation == GateActivation::kHardSigmoid) continue;
      const Dims w = dims_of(squeeze->weight);
      const int64_t pixels = y.num_elements() / std::max<int64_t>(1, y[0] * y.back());
      if (w[1] != y.back() || y.num_elements() > INT32_MAX / 2 || y[0] * pixels < 1) continue;
      const Product& hard = excite->activation == GateActivation::kHardSigmoid ? *excite : *squeeze;
      ChannelGate found{.inputs = {x, squeeze->weight, squeeze->bias, excite->weight, excite->bias},
                        .args = {.type = type_ == DType::kFloat16 ? Scalar::kFloat16 : Scalar::kBFloat16,
                                 .images = static_cast<int32_t>(y[0]),
                                 .pixels = static_cast<int32_t>(pixels),
                                 .channels = static_cast<int32_t>(y.back()),
                                 .squeezed = static_cast<int32_t>(w[0]),
                                 .inner = squeeze->activation,
                                 .outer = excite->activation,
                                 .slope = hard.slope,
                                 .offset = hard.offset}};
      if (!channel_gate_refusal(found.args, device_)) return found;
    }
    return std::nullopt;
  }

  const ir::Graph& graph_;
  Specialization& spec_;
  const std::span<const DType> storage_;
  const DType type_;
  const DeviceTraits device_;
  std::vector<uint32_t> maker_;  // by value
  std::vector<int> uses_;
};

class GateOperation final : public Operation {
 public:
  GateOperation(const ChannelGateArgs& args, const DeviceTraits& traits, std::vector<Operand> operands, Operand y)
      : args_(args), traits_(traits), operands_(std::move(operands)), y_(std::move(y)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(operands_[0]);
    args_.squeeze = at.of(operands_[1]);
    args_.squeeze_bias = static_cast<const float*>(at.of(operands_[2]));
    args_.excite = at.of(operands_[3]);
    args_.excite_bias = static_cast<const float*>(at.of(operands_[4]));
    args_.y = at.of(y_);
    return check(channel_gate(args_, traits_, stream), "squeeze and excitation");
  }

 private:
  ChannelGateArgs args_;
  const DeviceTraits traits_;
  const std::vector<Operand> operands_;
  const Operand y_;
};

}  // namespace

std::map<uint32_t, ChannelGate> find_channel_gates(const ir::Graph& graph, Specialization& spec, std::span<const DType> storage, DType type,
                                                   const DeviceTraits& device) {
  if (type != DType::kFloat16 && type != DType::kBfloat16) return {};
  return Finder(graph, spec, storage, type, device).run();
}

Status make_channel_gate(StepBuilder& b, const ChannelGate& gate) {
  const DType type = activation_type(b.precision());
  std::vector<Operand> operands(5);
  CAMEO_ASSIGN(operands[0], b.input(0));
  CAMEO_ASSIGN(operands[1], b.input_as(1, type));
  const Dims rows{gate.args.squeezed, gate.args.channels};
  CAMEO_ASSIGN(operands[3], b.prepared(3, "rows of channels " + std::string(dtype_name(type)), type, rows,
                                       [&](StepBuilder& inner, const Operand& from, Operand to) {
                                         to.narrowed = type != from.dtype;
                                         return transpose(inner, from.seen_as(Dims{rows[1], rows[0]}), to, {1, 0});
                                       }));
  for (const size_t bias : {2, 4})
    if (b.has_input(bias)) {
      CAMEO_ASSIGN(operands[bias], b.input_as(bias, DType::kFloat32));
    }
  b.add(std::make_unique<GateOperation>(gate.args, traits_of(b.device()), std::move(operands), b.output(0)));
  return {};
}

}  // namespace cameo::cuda
