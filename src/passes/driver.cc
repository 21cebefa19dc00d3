#include "passes/driver.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

namespace cameo::passes {

#define CAMEO_PASS(name) extern const Pass name##_pass;
#include "passes/passes.inc"
#undef CAMEO_PASS

std::span<const Pass* const> all_passes() {
  static constexpr const Pass* kPasses[] = {
#define CAMEO_PASS(name) &name##_pass,
#include "passes/passes.inc"
#undef CAMEO_PASS
  };
  return kPasses;
}

namespace {

constexpr size_t kMaxNotes = 200;

using RulesByOp = std::unordered_map<const ops::OpDef*, std::vector<Rule>>;

struct State {
  const Pass* pass;
  RulesByOp rules;
  PassReport report;
  int64_t changes_seen = -1;  // by all passes, when this one last began; nothing to do while it stays
};

RulesByOp rules_by_op(const Pass& pass) {
  RulesByOp by_op;
  if (pass.rules)
    for (const Rule& rule : pass.rules())
      for (const ops::OpDef* op : root_ops(rule.pattern)) by_op[op].push_back(rule);
  return by_op;
}

// Hides the extents that a body declares of its formal inputs: nothing checks at run time that they hold in every iteration.
class UndeclaredExtents {
 public:
  explicit UndeclaredExtents(const ir::Subgraph& subgraph) : graph_(*subgraph.graph) {
    for (size_t i = 0; i < subgraph.num_formal_inputs(); ++i) {
      ir::Type& type = graph_.value(graph_.inputs[i]).type;
      declared_.push_back(type);
      if (type.is_tensor() && type.shape) type.shape = ir::Shape(type.shape->size());
    }
  }
  ~UndeclaredExtents() {
    for (size_t i = 0; i < declared_.size(); ++i) graph_.value(graph_.inputs[i]).type = declared_[i];
  }
  UndeclaredExtents(const UndeclaredExtents&) = delete;
  UndeclaredExtents& operator=(const UndeclaredExtents&) = delete;

 private:
  ir::Graph& graph_;
  std::vector<ir::Type> declared_;
};

// What may be relied on of a subgraph's inputs: of formal ones the type and rank, of captures what is known outside.
std::vector<ops::Fact> subgraph_facts(const ir::Subgraph& subgraph, const GraphView& outer) {
  std::vector<ops::Fact> facts;
  for (size_t i = 0; i < subgraph.num_formal_inputs(); ++i)
    facts.push_back(ops::Fact::of(subgraph.graph->value(subgraph.graph->inputs[i]).type));
  for (ir::ValueId id : subgraph.captures) facts.push_back(outer.fact(id));
  return facts;
}

class Driver {
 public:
  explicit Driver(const PassOptions& options) : options_(options), budget_left_(options.folding_budget_bytes) {}

  Status run(ir::Graph& graph, std::vector<PassReport>& reports) {
    CAMEO_TRY(choose());
    CAMEO_TRY(rounds(graph));
    for (State& state : states_) reports.push_back(std::move(state.report));
    return ir::infer_types(graph);
  }

 private:
  Status choose() {
    for (const std::string& name : options_.disabled) {
      std::string known;
      for (const Pass* pass : all_passes()) known.append(known.empty() ? "" : ", ").append(pass->name);
      if (std::none_of(all_passes().begin(), all_passes().end(), [&](const Pass* pass) { return pass->name == name; }))
        return error(ErrorCode::kInvalidArgument, "there is no pass '{}' to disable; the passes are {}", name, known);
    }
    for (const Pass* pass : all_passes())
      if (std::find(options_.disabled.begin(), options_.disabled.end(), pass->name) == options_.disabled.end())
        states_.push_back({pass, rules_by_op(*pass), {std::string(pass->name), 0, 0, {}}});
    return {};
  }

  Status rounds(ir::Graph& graph) {
    int64_t changes = 0;
    int round = 0;
    for (bool late : {false, true})
      for (int left = options_.max_rounds; left > 0; --left, ++round) {
        bool ran = false;
        for (State& state : states_) {
          if (state.changes_seen == changes || (state.pass->late && !late)) continue;
          ran = true;
          state.changes_seen = changes;
          // The late passes hide what the others look for: what stood in their way before is what counts.
          std::vector<std::string> notes;
          const bool keeps_notes = late && !state.pass->late;
          if (keeps_notes) notes = state.report.notes;
          CAMEO_TRY(run_timed(state, graph, round, changes));
          if (keeps_notes) state.report.notes = std::move(notes);
        }
        if (!ran) break;
      }
    return {};
  }

  Status run_timed(State& state, ir::Graph& graph, int round, int64_t& changes) {
    if (options_.check_cancelled) CAMEO_TRY(options_.check_cancelled());
    const auto start = std::chrono::steady_clock::now();
    const size_t nodes_before = graph.nodes.size();
    const int changes_before = state.report.changes;
    state.report.notes.clear();  // only what still stands in the way at the end is of interest
    std::vector<ops::Fact> inputs;
    for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
    std::vector<ir::Type> output_types;
    for (ir::ValueId id : graph.outputs) output_types.push_back(graph.value(id).type);
    if (auto status = run_pass(state, graph, inputs, &facts_); !status.ok())
      return std::move(status).error().in(fmt::format("pass {}", state.pass->name));
    if (options_.verify)
      if (auto status = verify(graph, inputs, output_types); !status.ok())
        return std::move(status).error().in(fmt::format("after pass {}", state.pass->name));
    const double milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    state.report.milliseconds += milliseconds;
    const int made = state.report.changes - changes_before;
    // Still true after changes, but inference may find more now.
    if (made > 0) facts_.clear();
    changes += made;
    if (options_.logger)
      options_.logger->log(Severity::kVerbose, fmt::format("pass {} (round {}): {} changes, {} to {} nodes, {:.1f} ms", state.pass->name,
                                                           round + 1, made, nodes_before, graph.nodes.size(), milliseconds));
    return {};
  }

  static Status verify(const ir::Graph& graph, std::span<const ops::Fact> inputs, const std::vector<ir::Type>& output_types) {
    CAMEO_TRY(ir::verify(graph));
    CAMEO_ASSIGN(const std::vector<ops::Fact> facts, ops::infer_graph(graph, inputs));
    for (size_t i = 0; i < output_types.size(); ++i) {
      const ir::ValueId id = graph.outputs[i];
      if (auto both = ir::unify(facts[id].type, output_types[i]); !both.ok())
        return error(ErrorCode::kInternal, "output '{}' was {} and is {}", graph.value(id).name, output_types[i].to_string(),
                     facts[id].type.to_string());
    }
    return {};
  }

  // `facts` are those that the last pass left of this graph; null for a subgraph.
  Status run_pass(State& state, ir::Graph& graph, std::span<const ops::Fact> inputs, std::vector<ops::Fact>* facts = nullptr) {
    CAMEO_ASSIGN(Editor editor, Editor::open(graph, inputs, facts ? std::move(*facts) : std::vector<ops::Fact>{}));
    for (size_t i = 0; i < editor.num_nodes(); ++i)
      for (ir::Subgraph& subgraph : editor.mutable_node(i).subgraphs) {
        const UndeclaredExtents hidden(subgraph);
        const std::vector<ops::Fact> known = subgraph_facts(subgraph, editor);
        // A branch that is never taken may be wrong in itself; it is left as it is.
        if (auto inferred = ops::infer_graph(*subgraph.graph, known); inferred.ok()) CAMEO_TRY(run_pass(state, *subgraph.graph, known));
      }
    PassContext context{editor, options_, budget_left_, state.report};
    if (state.pass->run)
      CAMEO_TRY(state.pass->run(context));
    else
      CAMEO_TRY(apply_rules(state, context));
    CAMEO_TRY(editor.finish());
    if (facts) *facts = editor.leave_facts();
    return {};
  }

  Status apply_rules(State& state, PassContext& context) {
    Editor& editor = context.editor;
    // Rules that undo each other would go on for ever.
    int64_t left = 8 * static_cast<int64_t>(editor.num_nodes()) + 64;
    for (uint32_t index = editor.first(); index != Editor::kEnd && left > 0;) {
      const uint32_t next = editor.next(index);
      if (!editor.alive(index)) {
        index = next;
        continue;
      }
      CAMEO_ASSIGN(index, visit(state, context, index, left));
    }
    return {};
  }

  // Tries the rules at one node; gives the node to go on with.
  Result<uint32_t> visit(State& state, PassContext& context, uint32_t index, int64_t& left) {
    Editor& editor = context.editor;
    const auto rules = state.rules.find(editor.node(index).op);
    if (rules == state.rules.end()) return editor.next(index);
    for (const Rule& rule : rules->second) {
      std::string near_miss;
      const std::optional<Match> found = match(rule.pattern, editor, index, &near_miss);
      if (!found) {
        if (!near_miss.empty()) context.note(editor.node(index), near_miss);
        continue;
      }
      Rewrite rewrite = rule.rewrite(*found, editor);
      if (const auto* reject = std::get_if<Reject>(&rewrite)) context.note(editor.node(index), reject->reason);
      auto* patch = std::get_if<Patch>(&rewrite);
      if (patch == nullptr) continue;
      auto applied = editor.apply(std::move(*patch), index, found->nodes());
      if (applied.ok()) {
        ++state.report.changes;
        --left;
        return applied;
      }
      if (options_.verify) return std::move(applied).error().in(editor.node(index).describe());
      context.note(editor.node(index), applied.error().message());
    }
    return editor.next(index);
  }

  const PassOptions& options_;
  int64_t budget_left_;
  std::vector<ops::Fact> facts_;  // of the whole graph, as long as it does not change
  std::vector<State> states_;
};

}  // namespace

void PassContext::note(const ir::Node& node, std::string_view reason) {
  if (report.notes.size() < kMaxNotes) report.notes.push_back(fmt::format("{}: {}", node.describe(), reason));
}

Status run_passes(ir::Graph& graph, const PassOptions& options, std::vector<PassReport>& reports) {
  reports.clear();
  return Driver(options).run(graph, reports);
}

}  // namespace cameo::passes
