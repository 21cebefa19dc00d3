#include "onnx/opset.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "ops/op.h"
#include "passes/attributes.h"

namespace cameo::onnx {
namespace {

// From this version on a node of the operator, written as before, means something else or is not allowed. Versions that only
// allow more (types, inputs, attributes whose default is what was) are not listed, nor those before 7.
struct Change {
  std::string_view op;
  int version;
};
constexpr Change kChanges[] = {
    {"AveragePool", 11},
    {"BatchNormalization", 9},
    {"BatchNormalization", 14},
    {"Clip", 11},
    {"DFT", 20},
    {"Dropout", 12},
    {"GridSample", 20},
    {"GroupNormalization", 21},
    {"Hardmax", 13},
    {"LogSoftmax", 13},
    {"MaxPool", 10},
    {"Pad", 11},
    {"ReduceL1", 18},
    {"ReduceL2", 18},
    {"ReduceLogSum", 18},
    {"ReduceLogSumExp", 18},
    {"ReduceMax", 18},
    {"ReduceMean", 18},
    {"ReduceMin", 18},
    {"ReduceProd", 18},
    {"ReduceSum", 13},
    {"ReduceSumSquare", 18},
    {"Resize", 11},
    {"Scan", 9},
    {"Scatter", 11},
    {"Slice", 10},
    {"Softmax", 13},
    {"Split", 13},
    {"Split", 18},
    {"Squeeze", 13},
    {"TopK", 10},
    {"Unsqueeze", 13},
    {"Upsample", 9},
    {"Upsample", 10},
};

// How often the operator changed up to that version.
int changes_until(std::string_view op, int version) {
  return static_cast<int>(
      std::count_if(std::begin(kChanges), std::end(kChanges), [&](const Change& c) { return c.op == op && c.version <= version; }));
}

// The lowest version at which the node, as it is, means the same.
int lowest_version(const ir::Node& node) {
  int lowest = node.op->min_version;
  for (const Change& c : kChanges)
    if (c.op == node.op->name && c.version <= node.version) lowest = std::max(lowest, c.version);
  return lowest;
}

bool is_onnx(const ir::Node& node) { return node.op->domain.empty(); }

template <class Fn>
void for_each_node(ir::Graph& graph, Fn fn) {
  for (ir::Node& node : graph.nodes) {
    fn(graph, node);
    for (ir::Subgraph& subgraph : node.subgraphs) for_each_node(*subgraph.graph, fn);
  }
}

Status set_attributes(ir::Node& node, const passes::AttrList& list) {
  CAMEO_ASSIGN(node.attrs, passes::make_attrs(*node.op, list));
  return {};
}

// An attribute that became input 1.
Status move_to_input(ir::Graph& graph, ir::Node& node, std::string_view attribute, const passes::AttrList& kept) {
  const auto list = passes::attr<std::vector<int64_t>>(node, attribute);
  CAMEO_TRY(set_attributes(node, kept));
  if (!list || list->empty()) return {};
  node.inputs.resize(2, ir::kNoValue);
  node.inputs[1] =
      graph.add_constant(std::string(attribute), Tensor::of({static_cast<int64_t>(list->size())}, std::span<const int64_t>(*list)));
  return {};
}

Status raise(ir::Graph& graph, ir::Node& node, int version) {
  const std::string_view op = node.op->name;
  if (op == "Squeeze" || op == "Unsqueeze") return move_to_input(graph, node, "axes", {});
  if (op.starts_with("Reduce"))
    return move_to_input(graph, node, "axes", {{"keepdims", passes::attr<int64_t>(node, "keepdims").value_or(1)}});
  if (op == "Split") {
    const passes::AttrValue axis = passes::attr<int64_t>(node, "axis").value_or(0);
    if (node.version < 13) CAMEO_TRY(move_to_input(graph, node, "split", {{"axis", axis}}));
    if (version < 18 || (node.inputs.size() > 1 && node.inputs[1] != ir::kNoValue)) return {};
    return set_attributes(node, {{"axis", axis}, {"num_outputs", static_cast<int64_t>(node.outputs.size())}});
  }
  if (op == "Softmax" || op == "LogSoftmax" || op == "Hardmax") {
    // Up to 12 all axes from `axis` on are one; over the last alone it is the same.
    const auto axis = passes::attr<int64_t>(node, "axis");
    const auto& shape = graph.value(node.inputs[0]).type.shape;
    if (axis && (*axis == -1 || (shape && *axis == static_cast<int64_t>(shape->size()) - 1)))
      return set_attributes(node, {{"axis", int64_t{-1}}});
  }
  return error(ErrorCode::kUnsupported, "{} is of opset {}, but others need {}, by when {} had changed", node.describe(), node.version,
               version, op);
}

}  // namespace

Result<int> unify_opset(ir::Graph& graph, int at_least) {
  int target = 0;
  for_each_node(graph, [&](ir::Graph&, ir::Node& node) {
    if (is_onnx(node)) target = std::max({target, at_least, lowest_version(node)});
  });
  Status status;
  for_each_node(graph, [&](ir::Graph& owner, ir::Node& node) {
    if (!status.ok() || !is_onnx(node)) return;
    if (target > node.op->max_version) {
      status = error(ErrorCode::kUnsupported, "{} ends at opset {}, but others need {}", node.describe(), node.op->max_version, target);
      return;
    }
    if (node.version < target && changes_until(node.op->name, target) != changes_until(node.op->name, node.version))
      status = raise(owner, node, target);
    node.version = target;
  });
  if (!status.ok()) return std::move(status).error();
  return target;
}

}  // namespace cameo::onnx
