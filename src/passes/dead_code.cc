// Drops what nothing reads: nodes, optional outputs, values that subgraphs capture, outputs of If, and the values and
// constants that are then left over.
#include "passes/pass.h"

namespace cameo::passes {
namespace {

// Captures of a subgraph that its graph does not read.
int drop_captures(Editor& editor, ir::Subgraph& subgraph) {
  const size_t formal = subgraph.num_formal_inputs();
  const std::vector<uint32_t> uses = subgraph.graph->use_counts();
  size_t kept = 0;
  for (size_t k = 0; k < subgraph.captures.size(); ++k) {
    if (uses[subgraph.graph->inputs[formal + k]] == 0) {
      editor.drop_use(subgraph.captures[k]);
      continue;
    }
    subgraph.captures[kept] = subgraph.captures[k];
    subgraph.graph->inputs[formal + kept++] = subgraph.graph->inputs[formal + k];
  }
  const auto dropped = static_cast<int>(subgraph.captures.size() - kept);
  subgraph.captures.resize(kept);
  subgraph.graph->inputs.resize(formal + kept);
  return dropped;
}

// Outputs that may be absent and that nothing reads. Their places stay: Split, for one, counts them.
int drop_outputs(const GraphView& view, ir::Node& node) {
  int dropped = 0;
  if (node.op->max_outputs >= ops::kVariadic) return 0;
  for (size_t i = static_cast<size_t>(node.op->min_outputs); i < node.outputs.size(); ++i)
    if (node.outputs[i] != ir::kNoValue && view.uses(node.outputs[i]) == 0) {
      node.outputs[i] = ir::kNoValue;
      ++dropped;
    }
  return dropped;
}

// Outputs of an If that nothing reads, with those of its branches.
int drop_branch_outputs(const GraphView& view, ir::Node& node) {
  if (node.op->name != "If" || !node.op->domain.empty() || node.outputs.size() < 2) return 0;
  size_t kept = 0;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == ir::kNoValue || view.uses(node.outputs[i]) == 0) continue;
    node.outputs[kept] = node.outputs[i];
    for (ir::Subgraph& subgraph : node.subgraphs) subgraph.graph->outputs[kept] = subgraph.graph->outputs[i];
    ++kept;
  }
  const auto dropped = static_cast<int>(node.outputs.size() - kept);
  node.outputs.resize(kept);
  for (ir::Subgraph& subgraph : node.subgraphs) subgraph.graph->outputs.resize(kept);
  return dropped;
}

Status run(PassContext& context) {
  Editor& editor = context.editor;
  int& changes = context.report.changes;
  // From the last node to the first, so that a chain is found unused from its end.
  for (size_t i = editor.num_nodes(); i-- > 0;) {
    if (!editor.alive(i)) continue;
    ir::Node& node = editor.mutable_node(i);
    bool used = false;
    for (ir::ValueId id : node.outputs) used |= id != ir::kNoValue && editor.uses(id) != 0;
    if (!used) {
      editor.remove(static_cast<uint32_t>(i));
      ++changes;
      continue;
    }
    changes += drop_outputs(editor, node);
    changes += drop_branch_outputs(editor, node);
    for (ir::Subgraph& subgraph : node.subgraphs) changes += drop_captures(editor, subgraph);
  }
  editor.drop_unused_values();
  return {};
}

}  // namespace

CAMEO_DEFINE_PASS(dead_code) = {
    .name = "dead_code",
    .summary = "drops nodes, outputs, captures and constants that nothing reads",
    .run = &run,
};

}  // namespace cameo::passes
