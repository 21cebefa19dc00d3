#include "tactics/tactic.h"

#include <algorithm>

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

Status assign_tactic(ir::Node& node, const Tactic* tactic, std::span<const ops::Fact> facts) {
  node.kernel.clear();
  node.packed.clear();
  if (tactic == nullptr) return {};
  if (tactic->prepack != nullptr) {
    CAMEO_ASSIGN(node.packed, tactic->prepack(node, facts));
  }
  node.kernel = tactic->name;
  return {};
}

void elide_packed_constants(ir::Graph& graph) {
  std::vector<char> read(graph.values.size(), 0), packed(graph.values.size(), 0);
  for (ir::ValueId id : graph.outputs) read[id] = 1;
  for (const ir::Node& node : graph.nodes) {
    const Tactic* tactic = node.packed.empty() ? nullptr : find_tactic(node.kernel);
    const uint64_t packed_inputs = tactic != nullptr ? tactic->packed_inputs : 0;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] != ir::kNoValue) (i < 64 && (packed_inputs >> i & 1) != 0 ? packed : read)[node.inputs[i]] = 1;
    for (const ir::Subgraph& subgraph : node.subgraphs)
      for (ir::ValueId id : subgraph.captures) read[id] = 1;
  }
  for (size_t id = 0; id < graph.values.size(); ++id) {
    ir::Value& value = graph.values[id];
    if (!value.is_constant() || !packed[id] || read[id]) continue;
    value.constant = {};
    value.elided = true;
  }
}

Status select_tactics(ir::Graph& graph) {
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  CAMEO_ASSIGN(const std::vector<ops::Fact> facts, ops::infer_graph(graph, inputs, {.fold_elements = 0}));
  for (ir::Node& node : graph.nodes) {
    const auto* best = std::find_if(std::begin(kTactics), std::end(kTactics),
                                    [&](const Tactic* tactic) { return tactic->is_for(*node.op) && tactic->supports(node, facts).ok(); });
    CAMEO_TRY(assign_tactic(node, best == std::end(kTactics) ? nullptr : *best, facts));
  }
  elide_packed_constants(graph);
  return {};
}

}  // namespace cameo::tactics
