#include "ops/evaluate.h"

#include "base/thread_pool.h"
#include "ops/infer.h"
#include "ops/value.h"

namespace cameo::ops {
namespace {

// Inference of a node whose input values are all known. Subgraphs are not looked into: their nodes are inferred when they run.
class ValueInference final : public InferContext {
 public:
  ValueInference(const ir::Node& node, std::span<const RtValue> inputs)
      : node_(node), inputs_(inputs), types_(inputs.size()), outputs_(node.outputs.size()) {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (has_input(i)) types_[i] = type_of(inputs[i]);
  }
  const ir::Node& node() const override { return node_; }
  const ir::Type& input(size_t i) const override { return i < types_.size() ? types_[i] : unknown_; }
  const Tensor* constant(size_t i) const override {
    return has_input(i) && inputs_[i].is_tensor() && inputs_[i].tensor.defined() ? &inputs_[i].tensor : nullptr;
  }
  std::optional<ir::Shape> values(size_t i) const override {
    const Tensor* tensor = constant(i);
    return tensor ? index_values(*tensor) : std::nullopt;
  }
  void set_output(size_t i, ir::Type type) override {
    if (has_output(i)) outputs_[i] = std::move(type);
  }
  void set_values(size_t, ir::Shape) override {}
  Result<std::vector<ir::Type>> infer_subgraph(size_t index, std::span<const ir::Type>) override {
    return std::vector<ir::Type>(node_.subgraphs[index].graph->outputs.size());
  }
  const ir::Type& output(size_t i) const { return outputs_[i]; }

 private:
  const ir::Node& node_;
  std::span<const RtValue> inputs_;
  std::vector<ir::Type> types_, outputs_;
  ir::Type unknown_;
};

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
  ThreadPool& threads() override {
    static ThreadPool caller_alone(1);
    return caller_alone;
  }
  Result<std::vector<RtValue>> run_subgraph(size_t index, std::span<const RtValue> formal_inputs) override {
    std::vector<RtValue> all;
    all.reserve(formal_inputs.size() + captures_[index].size());
    all.assign(formal_inputs.begin(), formal_inputs.end());
    all.insert(all.end(), captures_[index].begin(), captures_[index].end());
    return evaluate_graph(*node_.subgraphs[index].graph, all, options_);
  }
  Status check_cancelled() const override { return options_.check_cancelled ? options_.check_cancelled() : Status{}; }

 private:
  // Infers the outputs from the inputs' values and makes memory for those whose extents are known.
  Status prepare() {
    ValueInference inference(node_, inputs_);
    CAMEO_TRY(check_node(inference));
    CAMEO_TRY(node_.op->infer(inference));
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const ir::Type& type = inference.output(i);
      if (!has_output(i)) continue;
      CAMEO_TRY(check_settled(node_, i, type));
      if (type.is_concrete()) CAMEO_TRY(allocate_output(i, type.dtype, *ir::to_dims(*type.shape)));
    }
    return {};
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
