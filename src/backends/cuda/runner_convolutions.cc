// Runner, convolutions that take over what is next to them.
#include <algorithm>

#include "backends/cuda/runner.h"
#include "backends/cuda/stem_convolution.h"
#include "backends/cuda/tile_products.h"

namespace cameo::cuda {
namespace {

using Place = runtime::Specialization::Place;

}  // namespace

// A convolution whose result another adds becomes a part of that, if it is one of 1x1 and nothing else reads it. The result is
// neither written nor read.
void Runner::join_shortcuts(Prepared& p) const {
  auto& spec = p.spec;
  std::vector<uint32_t> readers(spec.values.size(), 0), maker(spec.values.size(), UINT32_MAX);
  for (ir::ValueId id : graph_.outputs) readers[id] += 2;
  for (ir::ValueId id : spec.views) readers[spec.values[id].source] += 2;
  for (uint32_t k = 0; k < spec.steps.size(); ++k) {
    const ir::Node& node = graph_.nodes[spec.steps[k].node];
    ir::for_each_use(node, [&](ir::ValueId id) { ++readers[id]; });
    for (ir::ValueId id : node.outputs)
      if (id != ir::kNoValue) maker[id] = k;
  }
  std::vector<char> dropped(spec.steps.size(), 0);
  for (uint32_t k = 0; k < spec.steps.size(); ++k) {
    const uint32_t n = spec.steps[k].node;
    const ir::Node& node = graph_.nodes[n];
    if (node.op->domain != "ai.cameo" || node.op->name != "Conv" || node.inputs.size() > kShortcutInput) continue;
    for (size_t i = 2; i < node.inputs.size() && !p.shortcuts.count(n); ++i) {
      const ir::ValueId id = node.inputs[i];
      if (id == ir::kNoValue || readers[id] != 1 || maker[id] == UINT32_MAX || spec.values[id].place != Place::kArena) continue;
      const uint32_t other = spec.steps[maker[id]].node;
      if (graph_.nodes[other].op != node.op || p.shortcuts.count(other)) continue;
      p.shortcuts[n] = other;
      StepBuilder b(node, views_of_inputs(p, n), {view_of(p, node.outputs[0])}, session_.precision, session_.device, session_.weights);
      b.set_shortcut(&graph_.nodes[other]);
      if (takes_shortcut(b)) {
        dropped[maker[id]] = 1;
        spec.values[id].place = Place::kUnused;
      } else {
        p.shortcuts.erase(n);
      }
    }
  }
  std::vector<runtime::Specialization::Step> steps;
  for (uint32_t k = 0; k < spec.steps.size(); ++k)
    if (!dropped[k]) steps.push_back(std::move(spec.steps[k]));
  spec.steps = std::move(steps);
}

// A max pool that alone reads an image's first convolution becomes a part of that.
void Runner::join_pools(Prepared& p) const {
  auto& spec = p.spec;
  std::vector<runtime::Specialization::Step> steps;
  for (auto& step : spec.steps) {
    const uint32_t n = step.node;
    const ir::Node& pool = graph_.nodes[n];
    bool joined = pool.op->domain == "ai.cameo" && pool.op->name == "MaxPool" && pool.outputs.size() == 1;
    const auto last =
        joined ? std::find_if(steps.begin(), steps.end(), [&](const auto& s) { return graph_.nodes[s.node].outputs[0] == pool.inputs[0]; })
               : steps.end();
    if (last != steps.end()) {
      const ir::ValueId between = pool.inputs[0];
      const ir::Node& node = graph_.nodes[last->node];
      joined = node.op->domain == "ai.cameo" && node.op->name == "Conv" && !p.shortcuts.count(last->node) &&
               spec.values[between].place == Place::kArena && spec.values[pool.outputs[0]].place == Place::kArena;
      int uses = 0;
      for (const ir::Node& reader : graph_.nodes) ir::for_each_use(reader, [&](ir::ValueId id) { uses += id == between; });
      for (ir::ValueId id : graph_.outputs) uses += id == between;
      for (ir::ValueId id : spec.views) uses += spec.values[id].source == between;
      joined = joined && uses == 1;
      if (joined) {
        StepBuilder b(node, views_of_inputs(p, last->node), {view_of(p, pool.outputs[0])}, session_.precision, session_.device,
                      session_.weights);
        b.set_pool(&pool);
        joined = takes_pool(b);
      }
      if (joined) {
        p.pools[last->node] = n;
        spec.values[between].place = Place::kUnused;
      }
    }
    if (!joined || last == steps.end()) steps.push_back(std::move(step));
  }
  spec.steps = std::move(steps);
}

}  // namespace cameo::cuda
