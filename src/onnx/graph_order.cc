#include "onnx/graph_order.h"

#include <unordered_set>

#include "onnx/text.h"

namespace cameo::onnx {

std::string describe(const NodeProto& node, size_t index) {
  const std::string which = node.name.empty() ? fmt::format("#{}", index) : quoted(node.name);
  return fmt::format("node {} ({})", which, node.op_type.substr(0, 64));
}

// Calls fn for every name that the node reads from the graph it stands in.
template <class Fn>
void GraphOrder::for_each_read(const NodeProto& node, Fn fn) {
  for (std::string_view name : node.inputs)
    if (!name.empty()) fn(name);
  for (const AttributeProto& attribute : node.attributes)
    for (const GraphProto& graph : attribute.lists().graphs)
      for (std::string_view name : free_names(graph)) fn(name);
}

const std::vector<std::string_view>& GraphOrder::free_names(const GraphProto& graph) {
  if (const auto it = free_names_.find(&graph); it != free_names_.end()) return it->second;
  std::unordered_set<std::string_view> defined, found;
  std::vector<std::string_view> names;
  for (const ValueInfoProto& input : graph.inputs) defined.insert(input.name);
  for (const TensorProto& tensor : graph.initializers) defined.insert(tensor.name);
  for (const SparseTensorProto& tensor : graph.sparse_initializers) defined.insert(tensor.values.name);
  for (const NodeProto& node : graph.nodes)
    for (std::string_view name : node.outputs) defined.insert(name);
  const auto read = [&](std::string_view name) {
    if (!defined.contains(name) && found.insert(name).second) names.push_back(name);
  };
  for (const NodeProto& node : graph.nodes) for_each_read(node, read);
  for (const ValueInfoProto& output : graph.outputs) read(output.name);
  return free_names_.emplace(&graph, std::move(names)).first->second;
}

Result<const std::vector<uint32_t>*> GraphOrder::order(const std::vector<NodeProto>& nodes, const std::vector<std::string_view>& defined) {
  if (const auto it = orders_.find(&nodes); it != orders_.end()) return &it->second;
  std::unordered_set<std::string_view> before(defined.begin(), defined.end());
  std::unordered_map<std::string_view, uint32_t> producers;
  producers.reserve(nodes.size());
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    for (std::string_view name : nodes[i].outputs) {
      if (name.empty()) continue;
      if (before.contains(name))
        return error(ErrorCode::kInvalidModel, "{} makes {}, which is already an input or initializer of the graph", describe(nodes[i], i),
                     quoted(name));
      const auto [it, is_new] = producers.emplace(name, i);
      if (!is_new)
        return error(ErrorCode::kInvalidModel, "{} and {} both make {}; every value is made once", describe(nodes[it->second], it->second),
                     describe(nodes[i], i), quoted(name));
    }
  }

  // Depth first from each node in the file's order, with a stack of our own: chains may be a million nodes long.
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> state(nodes.size(), kNew);
  std::vector<uint32_t> result;
  result.reserve(nodes.size());
  struct Visit {
    uint32_t node;
    std::vector<uint32_t> reads;  // producers still to visit, the last one first
  };
  std::vector<Visit> stack;
  const auto open = [&](uint32_t i) {
    state[i] = kOpen;
    std::vector<uint32_t> reads;
    for_each_read(nodes[i], [&](std::string_view name) {
      if (const auto it = producers.find(name); it != producers.end() && state[it->second] != kDone) reads.push_back(it->second);
    });
    stack.push_back({i, {reads.rbegin(), reads.rend()}});
  };
  for (uint32_t start = 0; start < nodes.size(); ++start) {
    if (state[start] != kNew) continue;
    open(start);
    while (!stack.empty()) {
      Visit& top = stack.back();
      if (top.reads.empty()) {
        state[top.node] = kDone;
        result.push_back(top.node);
        stack.pop_back();
        continue;
      }
      const uint32_t next = top.reads.back();
      top.reads.pop_back();
      if (state[next] == kNew) {
        open(next);
      } else if (state[next] == kOpen) {
        std::string cycle;
        size_t from = stack.size();
        while (stack[--from].node != next) {
        }
        constexpr size_t kMaxShown = 6;
        for (size_t i = from; i < stack.size() && i < from + kMaxShown; ++i)
          cycle += describe(nodes[stack[i].node], stack[i].node) + " reads from ";
        if (stack.size() - from > kMaxShown) cycle += fmt::format("... ({} more) reads from ", stack.size() - from - kMaxShown);
        return error(ErrorCode::kInvalidModel, "the graph has a cycle: {}{}", cycle, describe(nodes[next], next));
      }
    }
  }
  return &orders_.emplace(&nodes, std::move(result)).first->second;
}

}  // namespace cameo::onnx
