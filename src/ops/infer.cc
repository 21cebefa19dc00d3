#include "ops/infer.h"

#include "ops/evaluate.h"

namespace cameo::ops {
namespace {

const ir::Type kUnknownType;

class NodeInference final : public InferContext {
 public:
  NodeInference(const ir::Node& node, std::vector<Fact>& facts, const InferOptions& options)
      : node_(node), facts_(facts), options_(options) {}

  const ir::Node& node() const override { return node_; }
  const ir::Type& input(size_t i) const override { return has_input(i) ? facts_[node_.inputs[i]].type : kUnknownType; }
  const Tensor* constant(size_t i) const override {
    return has_input(i) && facts_[node_.inputs[i]].constant.defined() ? &facts_[node_.inputs[i]].constant : nullptr;
  }
  std::optional<ir::Shape> values(size_t i) const override {
    if (!has_input(i)) return std::nullopt;
    const Fact& fact = facts_[node_.inputs[i]];
    if (fact.values || !fact.constant.defined()) return fact.values;
    return index_values(fact.constant);
  }
  void set_output(size_t i, ir::Type type) override {
    if (has_output(i)) facts_[node_.outputs[i]].type = std::move(type);
  }
  void set_values(size_t i, ir::Shape values) override {
    if (has_output(i) && values.size() <= 1024) facts_[node_.outputs[i]].values = std::move(values);
  }
  Result<std::vector<ir::Type>> infer_subgraph(size_t index, std::span<const ir::Type> formal_inputs) override {
    const ir::Subgraph& subgraph = node_.subgraphs[index];
    if (formal_inputs.size() != subgraph.num_formal_inputs())
      return error(ErrorCode::kInvalidModel, "{} has {} inputs where {} are given", subgraph.attribute, subgraph.num_formal_inputs(),
                   formal_inputs.size());
    InferOptions deeper = options_;
    ++deeper.subgraph_depth;
    std::vector<Fact> inputs;
    for (const ir::Type& type : formal_inputs) inputs.push_back(Fact::of(type));
    for (ir::ValueId id : subgraph.captures) inputs.push_back(facts_[id]);
    CAMEO_ASSIGN(const std::vector<Fact> inner, infer_graph(*subgraph.graph, inputs, deeper));
    std::vector<ir::Type> outputs;
    for (ir::ValueId id : subgraph.graph->outputs) outputs.push_back(inner[id].type);
    return outputs;
  }
  int subgraph_depth() const override { return options_.subgraph_depth; }

 private:
  const ir::Node& node_;
  std::vector<Fact>& facts_;
  const InferOptions& options_;
};

// Evaluates the node when all it reads is known and small.
Status fold(const ir::Node& node, std::vector<Fact>& facts, const InferOptions& options) {
  if (options.fold_elements == 0 || node.inputs.empty() || (node.op->flags & (kRandom | kControlFlow | kNotFolded))) return {};
  int64_t elements = 0;
  for (ir::ValueId id : node.inputs) {
    if (id == ir::kNoValue) continue;
    if (!facts[id].constant.defined()) return {};
    elements += facts[id].constant.num_elements();
  }
  for (ir::ValueId id : node.outputs) {
    if (id == ir::kNoValue) continue;
    const Fact& fact = facts[id];
    if (!fact.type.is_concrete()) return {};
    CAMEO_ASSIGN(const int64_t n, ir::to_dims(*fact.type.shape)->checked_num_elements());
    if (n > options.fold_elements) return {};
    elements += n;
  }
  if (elements > options.fold_elements) return {};
  std::vector<RtValue> inputs(node.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    if (node.inputs[i] != ir::kNoValue) inputs[i] = RtValue::of(facts[node.inputs[i]].constant);
  CAMEO_ASSIGN(std::vector<RtValue> outputs, evaluate_node(node, inputs, {}));
  for (size_t i = 0; i < outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue && outputs[i].is_tensor()) facts[node.outputs[i]] = Fact::of(std::move(outputs[i].tensor));
  return {};
}

// The value as a tensor once every element is a number.
void settle_values(Fact& fact) {
  if (!fact.values || fact.constant.defined() || !ir::is_static(*fact.values) || !fact.type.is_concrete()) return;
  const auto dims = *ir::to_dims(*fact.type.shape);
  if (dims.rank() > 1 || dims.num_elements() != static_cast<int64_t>(fact.values->size())) return;
  auto tensor = Tensor::allocate(fact.type.dtype, dims);
  if (!tensor.ok()) return;
  for (size_t k = 0; k < fact.values->size(); ++k) {
    const int64_t v = (*fact.values)[k].value();
    if (fact.type.dtype == DType::kInt64)
      tensor->data<int64_t>()[k] = v;
    else if (fact.type.dtype == DType::kInt32)
      tensor->data<int32_t>()[k] = static_cast<int32_t>(v);
    else
      return;
  }
  fact.constant = std::move(tensor).value();
}

Status infer_checked(const ir::Node& node, std::vector<Fact>& facts, const InferOptions& options) {
  for (ir::ValueId id : node.outputs)
    if (id != ir::kNoValue) facts[id] = Fact{};
  NodeInference context(node, facts, options);
  CAMEO_TRY(check_node(context));
  CAMEO_TRY(node.op->infer(context));
  for (ir::ValueId id : node.outputs) {
    if (id == ir::kNoValue) continue;
    const Fact& fact = facts[id];
    if (fact.type.is_concrete())
      if (auto n = ir::to_dims(*fact.type.shape)->checked_num_elements(); !n.ok()) return std::move(n).error().in("output");
  }
  CAMEO_TRY(fold(node, facts, options));
  for (ir::ValueId id : node.outputs)
    if (id != ir::kNoValue) settle_values(facts[id]);
  return {};
}

}  // namespace

Fact Fact::of(Tensor constant) {
  Fact fact;
  fact.type = ir::Type::tensor(constant.dtype(), ir::to_shape(constant.dims()));
  fact.constant = std::move(constant);
  return fact;
}

Status check_node(const InferContext& c) {
  const ir::Node& node = c.node();
  const OpDef& op = *node.op;
  const auto check_arity = [&](const char* what, const std::vector<ir::ValueId>& ids, int least, int most) -> Status {
    const auto n = static_cast<int>(ids.size());
    if (n < least || n > most)
      return error(ErrorCode::kInvalidModel, "has {} {}, {} takes {} to {}", n, what, op.name, least,
                   most >= kVariadic ? "any number" : std::to_string(most));
    return {};
  };
  CAMEO_TRY(check_arity("inputs", node.inputs, op.min_inputs, op.max_inputs));
  CAMEO_TRY(check_arity("outputs", node.outputs, op.min_outputs, op.max_outputs));
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (!c.has_input(i)) {
      if (static_cast<int>(i) < op.min_inputs) return error(ErrorCode::kInvalidModel, "lacks its input {}", i);
      continue;
    }
    const TypeSet allowed = op.input_types.of(i);
    const ir::Type& type = c.input(i);
    if (allowed.empty() || type.kind == ir::Type::Kind::kUnknown || (type.is_tensor() && type.dtype == DType::kUndefined)) continue;
    if (!type.is_tensor() || !allowed.contains(type.dtype))
      return error(ErrorCode::kInvalidModel, "input {} is {}; allowed: {}", i, type.to_string(), allowed.to_string());
  }
  return {};
}

std::optional<ir::Shape> index_values(const Tensor& t) {
  if ((t.dtype() != DType::kInt64 && t.dtype() != DType::kInt32) || t.rank() > 1 || t.num_elements() > 1024) return std::nullopt;
  ir::Shape dims;
  for (int64_t k = 0; k < t.num_elements(); ++k) dims.push_back(t.dtype() == DType::kInt64 ? t.data<int64_t>()[k] : t.data<int32_t>()[k]);
  return dims;
}

Status infer_node(const ir::Node& node, std::vector<Fact>& facts, const InferOptions& options) {
  if (auto status = infer_checked(node, facts, options); !status.ok()) return std::move(status).error().in(node.describe());
  return {};
}

Result<std::vector<Fact>> infer_graph(const ir::Graph& graph, std::span<const Fact> inputs, const InferOptions& options) {
  if (inputs.size() != graph.inputs.size())
    return error(ErrorCode::kInternal, "graph '{}' has {} inputs, {} given", graph.name, graph.inputs.size(), inputs.size());
  std::vector<Fact> facts(graph.values.size());
  for (size_t i = 0; i < facts.size(); ++i)
    if (graph.values[i].is_constant())
      facts[i] = Fact::of(graph.values[i].constant);
    else if (graph.values[i].elided)
      facts[i] = Fact::of(graph.values[i].type);
  for (size_t i = 0; i < inputs.size(); ++i) {
    Fact& fact = facts[graph.inputs[i]];
    fact = inputs[i];
    if (fact.constant.defined()) continue;
    // What the graph declares of a subgraph's input helps where the caller knows less; a contradiction is the caller's to report.
    if (auto both = ir::unify(fact.type, graph.values[graph.inputs[i]].type); both.ok()) fact.type = std::move(both).value();
  }
  for (const ir::Node& node : graph.nodes) CAMEO_TRY(infer_node(node, facts, options));
  return facts;
}

}  // namespace cameo::ops

namespace cameo::ir {

Status infer_types(Graph& graph) {
  std::vector<ops::Fact> inputs;
  for (ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.values[id].type));
  CAMEO_ASSIGN(const std::vector<ops::Fact> facts, ops::infer_graph(graph, inputs));
  for (size_t i = 0; i < facts.size(); ++i)
    if (facts[i].type.kind != Type::Kind::kUnknown) {
      auto both = unify(facts[i].type, graph.values[i].type);
      graph.values[i].type = both.ok() ? std::move(both).value() : facts[i].type;
    }
  return {};
}

}  // namespace cameo::ir
