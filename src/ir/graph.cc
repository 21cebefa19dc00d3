#include "ir/graph.h"

#include <fmt/core.h>

#include <set>

#include "base/error.h"
#include "ops/op.h"

namespace cameo::ir {

Subgraph::Subgraph(const Subgraph& other)
    : attribute(other.attribute), graph(other.graph ? std::make_unique<Graph>(*other.graph) : nullptr), captures(other.captures) {}

Subgraph& Subgraph::operator=(const Subgraph& other) {
  if (this != &other) *this = Subgraph(other);
  return *this;
}

size_t Subgraph::num_formal_inputs() const { return graph->inputs.size() - captures.size(); }

std::string Node::describe() const { return fmt::format("node '{}' ({})", name, op ? op->name : "?"); }

ValueId Graph::add_value(const std::string& wanted, Type type) {
  std::string unique = wanted;
  for (size_t n = values.size(); names_.count(unique) != 0; ++n) unique = fmt::format("{}_{}", wanted, n);
  const auto id = static_cast<ValueId>(values.size());
  names_[unique] = id;
  values.push_back({std::move(unique), std::move(type), {}});
  return id;
}

ValueId Graph::add_constant(const std::string& wanted, Tensor tensor) {
  const ValueId id = add_value(wanted, Type::tensor(tensor.dtype(), to_shape(tensor.dims())));
  values[id].constant = std::move(tensor);
  return id;
}

ValueId Graph::find(const std::string& wanted) const {
  const auto it = names_.find(wanted);
  return it == names_.end() ? kNoValue : it->second;
}

std::vector<int32_t> Graph::producers() const {
  std::vector<int32_t> made(values.size(), -1);
  for (size_t i = 0; i < nodes.size(); ++i)
    for (ValueId id : nodes[i].outputs)
      if (id != kNoValue) made[id] = static_cast<int32_t>(i);
  return made;
}

std::vector<uint32_t> Graph::use_counts() const {
  std::vector<uint32_t> uses(values.size(), 0);
  for (const Node& node : nodes) for_each_use(node, [&](ValueId id) { ++uses[id]; });
  for (ValueId id : outputs) ++uses[id];
  return uses;
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (Node& node : nodes)
    for_each_use(node, [&](ValueId& id) {
      if (id == from) id = to;
    });
  for (ValueId& id : outputs)
    if (id == from) id = to;
}

Status verify(const Graph& graph) {
  const auto bad = [&](const std::string& what) { return error(ErrorCode::kInternal, "graph '{}': {}", graph.name, what); };
  std::vector<char> defined(graph.values.size(), 0);
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const Value& v = graph.values[i];
    if (v.elided) {
      if (v.is_constant() || !v.type.is_concrete()) return bad(fmt::format("'{}' is elided, but has elements or no concrete type", v.name));
      defined[i] = 1;
    }
    if (!v.is_constant()) continue;
    defined[i] = 1;
    if (v.type.kind != Type::Kind::kTensor || v.type.dtype != v.constant.dtype() || !v.type.shape ||
        to_dims(*v.type.shape) != v.constant.dims())
      return bad(fmt::format("constant '{}' has type {} but holds {}[{}]", v.name, v.type.to_string(), dtype_name(v.constant.dtype()),
                             v.constant.dims().to_string()));
  }
  for (ValueId id : graph.inputs) {
    if (id >= graph.values.size()) return bad("an input's id is out of range");
    if (defined[id]) return bad(fmt::format("input '{}' is defined twice", graph.values[id].name));
    defined[id] = 1;
  }
  for (const Node& node : graph.nodes) {
    if (node.op == nullptr || node.attrs == nullptr) return bad(node.describe() + " has no operator or attributes");
    std::string problem;
    for_each_use(node, [&](ValueId id) {
      if (id >= graph.values.size())
        problem = "reads an id out of range";
      else if (!defined[id])
        problem = fmt::format("reads '{}' before it is made", graph.values[id].name);
    });
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      if (id >= graph.values.size())
        problem = "writes an id out of range";
      else if (defined[id])
        problem = fmt::format("makes '{}' a second time", graph.values[id].name);
      else
        defined[id] = 1;
    }
    for (const Subgraph& subgraph : node.subgraphs) {
      if (!subgraph.graph || subgraph.graph->inputs.size() < subgraph.captures.size())
        problem = "has a subgraph with too few inputs";
      else
        CAMEO_TRY(verify(*subgraph.graph));
    }
    if (!problem.empty()) return bad(node.describe() + " " + problem);
  }
  for (ValueId id : graph.outputs)
    if (id >= graph.values.size() || !defined[id])
      return bad(fmt::format("output '{}' is made by nothing", id < graph.values.size() ? graph.values[id].name : "?"));
  return {};
}

std::string to_string(const Graph& graph) {
  std::string out;
  const auto list = [&](const std::vector<ValueId>& ids) {
    std::string text;
    for (ValueId id : ids) text += (text.empty() ? "" : ", ") + (id == kNoValue ? std::string("-") : graph.value(id).name);
    return text;
  };
  out += fmt::format("graph {}({}) -> ({})\n", graph.name, list(graph.inputs), list(graph.outputs));
  for (const Node& node : graph.nodes) {
    out += fmt::format("  {} = {}({})", list(node.outputs), node.op->name, list(node.inputs));
    if (const std::string attrs = to_string(*node.attrs); !attrs.empty()) out += " {" + attrs + "}";
    for (ValueId id : node.outputs)
      if (id != kNoValue) out += " : " + graph.value(id).type.to_string();
    out += "\n";
    for (const Subgraph& subgraph : node.subgraphs) {
      std::string inner = to_string(*subgraph.graph);
      out += "    " + subgraph.attribute + " captures (" + list(subgraph.captures) + "):\n";
      for (size_t at = 0; at < inner.size();) {
        const size_t end = inner.find('\n', at);
        out += "    " + inner.substr(at, end - at) + "\n";
        at = end + 1;
      }
    }
  }
  return out;
}

}  // namespace cameo::ir
