// An If whose condition is known gives way to the nodes of the branch that it takes.
#include "passes/pass.h"

namespace cameo::passes {
namespace {

Rewrite take_branch(const Match& match, const GraphView& view) {
  const ir::Node& node = match.root();
  const Tensor& condition = *view.constant(match["condition"]);
  if (condition.dtype() != DType::kBool || condition.num_elements() != 1 || node.subgraphs.size() != 2) return NoMatch{};
  const ir::Subgraph& branch = node.subgraphs[condition.data<bool>()[0] ? 0 : 1];
  const ir::Graph& inner = *branch.graph;
  if (inner.outputs.size() != node.outputs.size() || inner.inputs.size() != branch.captures.size()) return NoMatch{};

  Patch patch(view);
  std::vector<ir::ValueId> outside(inner.values.size(), ir::kNoValue);
  for (size_t i = 0; i < inner.inputs.size(); ++i) outside[inner.inputs[i]] = branch.captures[i];
  for (size_t i = 0; i < inner.values.size(); ++i)
    if (inner.values[i].is_constant()) outside[i] = patch.constant(inner.values[i].constant);
  for (const ir::Node& original : inner.nodes) {
    ir::Node copy = original;
    ir::for_each_use(copy, [&](ir::ValueId& id) { id = outside[id]; });
    const std::vector<ir::ValueId> outputs = patch.node(std::move(copy));
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i] != ir::kNoValue) outside[original.outputs[i]] = outputs[i];
  }
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue) patch.replace(node.outputs[i], outside[inner.outputs[i]]);
  return patch;
}

std::vector<Rule> rules() { return {{op("If", constant("condition")), &take_branch}}; }

}  // namespace

CAMEO_DEFINE_PASS(constant_if) = {
    .name = "constant_if",
    .summary = "replaces an If whose condition is known by the branch that it takes",
    .rules = &rules,
};

}  // namespace cameo::passes
