#include "runtime/specialization.h"

#include <algorithm>

#include "runtime/memory_plan.h"

namespace cameo::runtime {
namespace {

using Place = Specialization::Place;

bool all_constant(const ir::Node& node, const std::vector<ops::Fact>& facts) {
  return std::all_of(node.outputs.begin(), node.outputs.end(),
                     [&](ir::ValueId id) { return id == ir::kNoValue || facts[id].constant.defined(); });
}

// Whether all shapes of the node are settled. A node with an input that is not is inferred again at run time,
// so that what was assumed of that input is checked.
bool shapes_known(const ir::Node& node, const std::vector<ops::Fact>& facts) {
  if (node.op->flags & (ops::kControlFlow | ops::kDataDependent)) return false;
  const auto concrete = [&](ir::ValueId id) { return id == ir::kNoValue || facts[id].type.is_concrete(); };
  return std::all_of(node.inputs.begin(), node.inputs.end(), concrete) && std::all_of(node.outputs.begin(), node.outputs.end(), concrete);
}

// Makes output 0 a view of input 0 where the node only gives it other extents. An output of the graph has memory of its own.
bool view_of_input(const ir::Node& node, Specialization& s, const std::vector<char>& is_output) {
  if (!(node.op->flags & ops::kView) || node.outputs.size() != 1 || is_output[node.outputs[0]]) return false;
  const auto& from = s.values[node.inputs[0]];
  auto& to = s.values[node.outputs[0]];
  const bool has_memory = from.place == Place::kArena || from.place == Place::kInput || from.place == Place::kView;
  if (!has_memory || to.place != Place::kArena) return false;
  to.place = Place::kView;
  to.source = from.place == Place::kView ? from.source : node.inputs[0];
  s.views.push_back(node.outputs[0]);
  return true;
}

}  // namespace

Result<Specialization> specialize(const ir::Graph& graph, std::span<const ops::Fact> inputs) {
  Specialization s;
  CAMEO_ASSIGN(s.facts, ops::infer_graph(graph, inputs));
  s.values.resize(graph.values.size());
  for (size_t i = 0; i < s.values.size(); ++i)
    if (s.facts[i].constant.defined()) s.values[i].place = Place::kConstant;
  for (ir::ValueId id : graph.inputs) s.values[id].place = Place::kInput;
  for (size_t i = 0; i < s.values.size(); ++i) {
    if (!graph.values[i].elided) continue;
    s.values[i] = {.place = Place::kElided, .dtype = graph.values[i].type.dtype, .dims = *ir::to_dims(*graph.values[i].type.shape)};
  }

  std::vector<char> is_output(s.values.size(), 0);
  for (ir::ValueId id : graph.outputs) is_output[id] = 1;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ir::Node& node = graph.nodes[n];
    if (!(node.op->flags & (ops::kRandom | ops::kControlFlow)) && !node.outputs.empty() && all_constant(node, s.facts)) continue;
    const bool known = shapes_known(node, s.facts);
    for (ir::ValueId id : node.outputs) {
      if (id == ir::kNoValue) continue;
      auto& v = s.values[id];
      v.place = known ? Place::kArena : Place::kRunTime;
      if (!known) {
        // What a constant says here came from inference; the node itself says it at run time.
        s.facts[id].constant = {};
        s.complete = false;
        continue;
      }
      v.dtype = s.facts[id].type.dtype;
      v.dims = *ir::to_dims(*s.facts[id].type.shape);
      if (v.dtype == DType::kString) v.place = Place::kRunTime;  // strings own memory, and are made anew in each run
    }
    if (known && view_of_input(node, s, is_output)) continue;
    s.steps.push_back({static_cast<uint32_t>(n), known, {}});
  }
  for (ir::ValueId id : graph.outputs) {
    auto& v = s.values[id];
    if (v.place == Place::kArena) {
      v.place = Place::kOutput;
      s.output_bytes += static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.dtype);
    }
  }

  // Lifetimes: from the step that makes a value to the last that reads it.
  constexpr uint32_t kNever = UINT32_MAX;
  std::vector<uint32_t> made(s.values.size(), kNever), read(s.values.size(), kNever);
  for (uint32_t step = 0; step < s.steps.size(); ++step) {
    const ir::Node& node = graph.nodes[s.steps[step].node];
    ir::for_each_use(node, [&](ir::ValueId id) { read[id] = step; });
    for (ir::ValueId id : node.outputs)
      if (id != ir::kNoValue) made[id] = read[id] = step;
  }
  for (ir::ValueId id : s.views)
    if (read[id] != kNever)
      read[s.values[id].source] = std::max(read[s.values[id].source] == kNever ? 0 : read[s.values[id].source], read[id]);
  std::vector<ir::ValueId> placed;
  std::vector<Lifetime> lifetimes;
  for (ir::ValueId id = 0; id < s.values.size(); ++id) {
    const auto& v = s.values[id];
    if (v.place == Place::kRunTime && !is_output[id]) s.steps[read[id]].released.push_back(id);
    if (v.place != Place::kArena) continue;
    placed.push_back(id);
    lifetimes.push_back({static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.dtype), made[id], read[id]});
  }
  MemoryPlan plan = plan_memory_in_lanes(lifetimes);
  MemoryPlan smallest = plan_memory(lifetimes);
  if (plan.bytes > smallest.bytes + smallest.bytes / 2) plan = std::move(smallest);
  for (size_t i = 0; i < placed.size(); ++i) s.values[placed[i]].offset = plan.offsets[i];
  s.arena_bytes = plan.bytes;
  s.without_reuse = plan.without_reuse;
  return s;
}

}  // namespace cameo::runtime
