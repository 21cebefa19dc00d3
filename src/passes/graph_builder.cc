#include "passes/graph_builder.h"

#include "base/error.h"
#include "ops/attention_rows.h"

namespace cameo::passes {

GraphBuilder::GraphBuilder(ir::Graph& graph, std::vector<ops::Fact> facts)
    : graph_(graph), facts_(std::move(facts)), producers_(graph.values.size(), -1) {}

ir::ValueId GraphBuilder::new_value(const std::string& name) {
  const ir::ValueId id = graph_.add_value(name);
  facts_.resize(graph_.values.size());
  producers_.resize(graph_.values.size(), -1);
  return id;
}

ir::ValueId GraphBuilder::input(const std::string& name, ir::Type type) {
  const ir::ValueId id = new_value(name);
  graph_.value(id).type = type;
  facts_[id] = ops::Fact::of(std::move(type));
  return id;
}

ir::ValueId GraphBuilder::constant(Tensor tensor) {
  const ir::ValueId id = new_value("constant");
  facts_[id] = ops::Fact::of(tensor);
  graph_.value(id).type = facts_[id].type;
  graph_.value(id).constant = std::move(tensor);
  return id;
}

ir::ValueId GraphBuilder::ints(std::initializer_list<int64_t> values) { return ints(std::span(values.begin(), values.size())); }
ir::ValueId GraphBuilder::ints(std::span<const int64_t> values) {
  return constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

Result<ir::ValueId> GraphBuilder::number(DType type, double value) {
  CAMEO_ASSIGN(Tensor tensor, Tensor::allocate(type, {}));
  if (type == DType::kBool)
    *tensor.data<bool>() = value != 0;
  else if (type == DType::kInt64)
    *tensor.data<int64_t>() = static_cast<int64_t>(value);
  else if (type == DType::kInt32)
    *tensor.data<int32_t>() = static_cast<int32_t>(value);
  else if (ops::kFloatTypes.contains(type))
    ops::store_row<double>(type, tensor.raw(), 0, 1, &value);
  else
    return error(ErrorCode::kUnsupported, "a number of type {} is not made", dtype_name(type));
  return constant(std::move(tensor));
}

Status GraphBuilder::add(ir::Node node) {
  CAMEO_TRY(ops::infer_node(node, facts_));
  for (ir::ValueId id : node.outputs)
    if (id != ir::kNoValue) producers_[id] = static_cast<int32_t>(graph_.nodes.size());
  graph_.nodes.push_back(std::move(node));
  return {};
}

ir::ValueId GraphBuilder::node(std::string_view op, std::vector<ir::ValueId> inputs, const AttrList& attrs) {
  ir::Node node;
  node.op = ops::find_op("", op);
  node.version = node.op->max_version;
  node.name = "kv_cache/" + std::string(op);
  node.attrs = node.op->make_attrs();
  return copy(node, std::move(inputs), attrs);
}

ir::ValueId GraphBuilder::copy(const ir::Node& from, std::vector<ir::ValueId> inputs, const AttrList& attrs) {
  ir::Node node = from;
  node.inputs = std::move(inputs);
  const ir::ValueId id = new_value(from.outputs.empty() ? from.name : graph_.value(from.outputs[0]).name);
  node.outputs = {id};
  auto changed = changed_attrs(node, attrs);
  if (changed.ok()) node.attrs = std::move(changed).value();
  Status status = changed.ok() ? add(std::move(node)) : Status(changed.error());
  if (!status.ok() && status_.ok()) status_ = std::move(status);
  return id;
}

bool GraphBuilder::same_shape(ir::ValueId a, ir::ValueId b) const {
  const auto &x = shape(a), &y = shape(b);
  if (!x || !y || x->size() != y->size()) return false;
  for (size_t i = 0; i < x->size(); ++i)
    if (!((*x)[i] == (*y)[i])) return false;
  return true;
}

const ir::Node* GraphBuilder::producer(ir::ValueId id) const {
  return id < producers_.size() && producers_[id] >= 0 ? &graph_.nodes[static_cast<size_t>(producers_[id])] : nullptr;
}

}  // namespace cameo::passes
