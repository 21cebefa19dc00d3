// Runner, convolutions that take over what is next to them.
#include <algorithm>

#include "backends/cuda/ops/quantized.h"
#include "backends/cuda/runner.h"
#include "backends/cuda/stem_convolution.h"
#include "backends/cuda/tile_products.h"

namespace cameo::cuda {
namespace {

using Place = runtime::Specialization::Place;

bool is_ours(const ir::Node& node, std::string_view name) { return node.op->domain == "ai.cameo" && node.op->name == name; }
bool convolves_bytes(const ir::Node& node) { return is_ours(node, "QuantizedConv"); }
bool convolves(const ir::Node& node) { return is_ours(node, "Conv") || convolves_bytes(node); }

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
    // What it reads besides, of steps that it does.
    if (p.layouts.count(spec.steps[k].node) || p.gates.count(spec.steps[k].node))
      for_each_input(p, spec.steps[k].node, [&](ir::ValueId id) { ++readers[id]; });
    for (ir::ValueId id : node.outputs)
      if (id != ir::kNoValue) maker[id] = k;
  }
  std::vector<char> dropped(spec.steps.size(), 0);
  for (uint32_t k = 0; k < spec.steps.size(); ++k) {
    const uint32_t n = spec.steps[k].node;
    const ir::Node& node = graph_.nodes[n];
    if (!convolves(node) || node.inputs.size() > kShortcutInput) continue;
    for (size_t i = 2; i < node.inputs.size() && !p.shortcuts.count(n); ++i) {
      const ir::ValueId id = node.inputs[i];
      if (id == ir::kNoValue || readers[id] != 1 || maker[id] == UINT32_MAX || spec.values[id].place != Place::kArena) continue;
      const uint32_t other = spec.steps[maker[id]].node;
      if (graph_.nodes[other].op != node.op || p.shortcuts.count(other)) continue;
      p.shortcuts[n] = other;
      StepBuilder b(node, views_of_inputs(p, n), {view_of(p, node.outputs[0])}, session_.precision, session_.device, session_.weights);
      b.set_shortcut(&graph_.nodes[other]);
      if (convolves_bytes(node) ? takes_quantized_shortcut(b) : takes_shortcut(b)) {
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

// Whether one step alone reads the value, once.
bool Runner::read_once(const Prepared& p, ir::ValueId id) const {
  int uses = 0;
  for (const ir::Node& reader : graph_.nodes) ir::for_each_use(reader, [&](ir::ValueId used) { uses += used == id; });
  for (ir::ValueId output : graph_.outputs) uses += output == id;
  for (ir::ValueId view : p.spec.views) uses += p.spec.values[view].source == id;
  return uses == 1;
}

// For a convolution of bytes with a pool: whether its step can do that, and before it what rounds the image and puts its channels last.
// Those steps are gone then.
bool Runner::takes_image(Prepared& p, std::vector<runtime::Specialization::Step>& steps, uint32_t node, const ir::Node& pool) const {
  std::vector<uint32_t> gone;
  ir::ValueId image = graph_.nodes[node].inputs[0];
  bool rounds = false, turns = false;
  while (gone.size() < 2) {
    const auto maker = std::find_if(steps.begin(), steps.end(), [&](const auto& s) { return graph_.nodes[s.node].outputs[0] == image; });
    if (maker == steps.end() || p.spec.values[image].place != Place::kArena || !read_once(p, image)) return false;
    const ir::Node& n = graph_.nodes[maker->node];
    const Attributes attrs(*n.attrs);
    if (!n.op->domain.empty() || n.outputs.size() != 1) return false;
    rounds |= n.op->name == "QuantizeLinear";
    turns |= n.op->name == "Transpose" && attrs.integers("perm") == std::vector<int64_t>{0, 2, 3, 1};
    gone.push_back(maker->node);
    image = n.inputs[0];
  }
  if (!rounds || !turns) return false;
  p.simplified->images[node] = image;
  StepBuilder b(graph_.nodes[node], views_of_inputs(p, node), {view_of(p, pool.outputs[0])}, session_.precision, session_.device,
                session_.weights);
  b.set_pool(&pool);
  if (!takes_quantized_pool(b)) {
    p.simplified->images.erase(node);
    return false;
  }
  std::erase_if(steps, [&](const auto& s) { return std::find(gone.begin(), gone.end(), s.node) != gone.end(); });
  for (const uint32_t n : gone) p.spec.values[graph_.nodes[n].outputs[0]].place = Place::kUnused;
  return true;
}

// A max pool that alone reads an image's first convolution becomes a part of that.
void Runner::join_pools(Prepared& p) const {
  auto& spec = p.spec;
  std::vector<runtime::Specialization::Step> steps;
  for (auto& step : spec.steps) {
    const ir::Node& pool = graph_.nodes[step.node];
    bool joined = is_ours(pool, "MaxPool") && pool.outputs.size() == 1;
    const auto last =
        joined ? std::find_if(steps.begin(), steps.end(), [&](const auto& s) { return graph_.nodes[s.node].outputs[0] == pool.inputs[0]; })
               : steps.end();
    joined = last != steps.end();
    if (joined) {
      const ir::ValueId between = pool.inputs[0];
      const uint32_t n = last->node;
      const ir::Node& node = graph_.nodes[n];
      joined = convolves(node) && !p.shortcuts.count(n) && spec.values[between].place == Place::kArena &&
               spec.values[pool.outputs[0]].place == Place::kArena && read_once(p, between);
      if (joined && convolves_bytes(node)) {
        joined = takes_image(p, steps, n, pool);
      } else if (joined) {
        StepBuilder b(node, views_of_inputs(p, n), {view_of(p, pool.outputs[0])}, session_.precision, session_.device, session_.weights);
        b.set_pool(&pool);
        joined = takes_pool(b);
      }
      if (joined) {
        p.pools[n] = step.node;
        spec.values[between].place = Place::kUnused;
      }
    }
    if (!joined) steps.push_back(std::move(step));
  }
  spec.steps = std::move(steps);
}

}  // namespace cameo::cuda
