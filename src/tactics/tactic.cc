#include "tactics/tactic.h"

namespace cameo::tactics {

#define CAMEO_TACTIC(name) extern const Tactic name##_tactic;
#include "backends/cpu/tactics.inc"
#undef CAMEO_TACTIC

namespace {

constexpr const Tactic* kTactics[] = {
#define CAMEO_TACTIC(name) &name##_tactic,
#include "backends/cpu/tactics.inc"
#undef CAMEO_TACTIC
};

}  // namespace

std::span<const Tactic* const> all_tactics() { return kTactics; }

const Tactic* find_tactic(std::string_view name) {
  for (const Tactic* tactic : kTactics)
    if (tactic->name == name) return tactic;
  return nullptr;
}

Status select_tactics(ir::Graph& graph) {
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  CAMEO_ASSIGN(const std::vector<ops::Fact> facts, ops::infer_graph(graph, inputs, {.fold_elements = 0}));
  for (ir::Node& node : graph.nodes) {
    node.kernel.clear();
    if (!node.op->domain.empty()) continue;
    for (const Tactic* tactic : kTactics)
      if (node.op->name == tactic->op && tactic->supports(node, facts).ok()) {
        node.kernel = tactic->name;
        break;
      }
  }
  return {};
}

}  // namespace cameo::tactics
