#include "ops/evaluate.h"

#include "ops/infer.h"

namespace cameo::ops {
namespace {

// One node with its values, run without a plan.
class Evaluation final : public KernelContext {
 public:
  Evaluation(const ir::Node& node, std::span<const RtValue> inputs, std::span<const std::vector<RtValue>> captures,
             const EvaluateOptions& options)
      : node_(node), inputs_(inputs), captures_(captures), options_(options), outputs_(node.outputs.size()) {}

  Result<std::vector<RtValue>> run() {
    CAMEO_TRY(prepare());
    CAMEO_TRY(node_.op->reference(*this));
    return std::move(outputs_);
  }

  const ir::Node& node() const override { return node_; }
  const RtValue& value(size_t i) const override { return inputs_[i]; }
  Tensor& output(size_t i) override { return outputs_[i].tensor; }
  Status allocate_output(size_t i, DType dtype, const Dims& dims) override {
    CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(dtype, dims));
    outputs_[i] = RtValue::of(std::move(tensor));
    return {};
  }
  void set_value(size_t i, RtValue value) override { outputs_[i] = std::move(value); }
  void* scratch_bytes(size_t bytes) override {
    scratch_.push_back(std::make_unique<std::byte[]>(bytes + 64));
    const auto address = (reinterpret_cast<uintptr_t>(scratch_.back().get()) + 63) & ~uintptr_t{63};
    return reinterpret_cast<void*>(address);
  }
  Result<std::vector<RtValue>> run_subgraph(size_t index, std::span<const RtValue> formal_inputs) override {
    std::vector<RtValue> all(formal_inputs.begin(), formal_inputs.end());
    all.insert(all.end(), captures_[index].begin(), captures_[index].end());
    return evaluate_graph(*node_.subgraphs[index].graph, all, options_);
  }
  Status check_cancelled() const override { return options_.check_cancelled ? options_.check_cancelled() : Status{}; }

 private:
  // Infers the outputs from the inputs' values and makes memory for those whose extents are known.
  Status prepare() {
    // Facts by position: the node is renumbered so that its values are 0, 1, 2, ….
    ir::Node local = node_;
    std::vector<Fact> facts;
    const auto add = [&](const RtValue* value) {
      facts.push_back(value == nullptr ? Fact{} : fact_of(*value));
      return static_cast<ir::ValueId>(facts.size() - 1);
    };
    for (size_t i = 0; i < local.inputs.size(); ++i)
      if (local.inputs[i] != ir::kNoValue) local.inputs[i] = add(&inputs_[i]);
    for (size_t s = 0; s < local.subgraphs.size(); ++s)
      for (size_t k = 0; k < local.subgraphs[s].captures.size(); ++k) local.subgraphs[s].captures[k] = add(&captures_[s][k]);
    for (ir::ValueId& id : local.outputs)
      if (id != ir::kNoValue) id = add(nullptr);
    CAMEO_TRY(infer_node(local, facts, {.fold_elements = 0}));
    for (size_t i = 0; i < local.outputs.size(); ++i) {
      if (local.outputs[i] == ir::kNoValue) continue;
      const ir::Type& type = facts[local.outputs[i]].type;
      if (type.is_concrete()) CAMEO_TRY(allocate_output(i, type.dtype, *ir::to_dims(*type.shape)));
    }
    return {};
  }

  static ir::Type type_of(const RtValue& value) {
    switch (value.kind) {
      case ir::Type::Kind::kTensor:
        return ir::Type::tensor(value.tensor.dtype(), ir::to_shape(value.tensor.dims()));
      case ir::Type::Kind::kSequence: {
        ir::Type element = value.elements->empty() ? ir::Type::tensor(value.element_dtype) : type_of(value.elements->front());
        for (const RtValue& v : *value.elements) element = ir::join(element, type_of(v));
        return ir::Type::sequence(std::move(element));
      }
      case ir::Type::Kind::kOptional:
        return ir::Type::optional(value.elements->empty() ? ir::Type{} : type_of(value.elements->front()));
      case ir::Type::Kind::kUnknown:
        break;
    }
    return {};
  }
  static Fact fact_of(const RtValue& value) {
    return value.is_tensor() && value.tensor.defined() ? Fact::of(value.tensor) : Fact::of(type_of(value));
  }

  const ir::Node& node_;
  std::span<const RtValue> inputs_;
  std::span<const std::vector<RtValue>> captures_;
  const EvaluateOptions& options_;
  std::vector<RtValue> outputs_;
  std::vector<std::unique_ptr<std::byte[]>> scratch_;
};

}  // namespace

Result<std::vector<RtValue>> evaluate_node(const ir::Node& node, std::span<const RtValue> inputs,
                                           std::span<const std::vector<RtValue>> captures, const EvaluateOptions& options) {
  auto outputs = Evaluation(node, inputs, captures, options).run();
  if (!outputs.ok()) return std::move(outputs).error().in(node.describe());
  return outputs;
}

Result<std::vector<RtValue>> evaluate_graph(const ir::Graph& graph, std::span<const RtValue> inputs, const EvaluateOptions& options) {
  std::vector<RtValue> values(graph.values.size());
  for (size_t i = 0; i < values.size(); ++i)
    if (graph.values[i].is_constant()) values[i] = RtValue::of(graph.values[i].constant);
  if (inputs.size() != graph.inputs.size())
    return error(ErrorCode::kInternal, "graph '{}' has {} inputs, {} given", graph.name, graph.inputs.size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs[i]] = inputs[i];
  std::vector<uint32_t> uses = graph.use_counts();
  for (const ir::Node& node : graph.nodes) {
    if (options.check_cancelled) CAMEO_TRY(options.check_cancelled());
    std::vector<RtValue> arguments(node.inputs.size());
    for (size_t i = 0; i < arguments.size(); ++i)
      if (node.inputs[i] != ir::kNoValue) arguments[i] = values[node.inputs[i]];
    std::vector<std::vector<RtValue>> captures(node.subgraphs.size());
    for (size_t s = 0; s < captures.size(); ++s)
      for (ir::ValueId id : node.subgraphs[s].captures) captures[s].push_back(values[id]);
    CAMEO_ASSIGN(std::vector<RtValue> outputs, evaluate_node(node, arguments, captures, options));
    for (size_t i = 0; i < outputs.size(); ++i)
      if (node.outputs[i] != ir::kNoValue) values[node.outputs[i]] = std::move(outputs[i]);
    ir::for_each_use(node, [&](ir::ValueId id) {
      if (--uses[id] == 0) values[id] = RtValue{};
    });
  }
  std::vector<RtValue> outputs;
  for (ir::ValueId id : graph.outputs) outputs.push_back(values[id]);
  return outputs;
}

}  // namespace cameo::ops
