#include "passes/products.h"

namespace cameo::passes {
namespace {

constexpr int kMaxDepth = 3;

void factors_within(const GraphView& view, ir::ValueId id, int depth, std::vector<ir::ValueId>& found) {
  found.push_back(id);
  const ir::Node* node = view.producer(id);
  if (node == nullptr || depth == 0 || !node->op->domain.empty()) return;
  if (node->op->name == "Mul")
    for (ir::ValueId input : node->inputs) factors_within(view, input, depth - 1, found);
  if (node->op->name == "Div") factors_within(view, node->inputs[0], depth - 1, found);
}

std::optional<Gated> gated_within(const GraphView& view, ir::ValueId id, ir::ValueId x, ir::ValueId gate, int depth, Region& region) {
  if (id == x) return Gated{1, 1, 0};
  if (id == gate) return Gated{1, 0, 1};
  if (const auto number = number_of(view, id)) return Gated{*number, 0, 0};
  const ir::Node* node = view.producer(id);
  if (node == nullptr || depth == 0 || !node->op->domain.empty() || (node->op->name != "Mul" && node->op->name != "Div"))
    return std::nullopt;
  auto a = gated_within(view, node->inputs[0], x, gate, depth - 1, region);
  if (!a) return std::nullopt;
  region.add(*node);
  if (node->op->name == "Div") {
    const auto number = number_of(view, node->inputs[1]);
    if (!number) return std::nullopt;
    a->coefficient /= *number;
    return a;
  }
  const auto b = gated_within(view, node->inputs[1], x, gate, depth - 1, region);
  if (!b) return std::nullopt;
  return Gated{a->coefficient * b->coefficient, a->of_x + b->of_x, a->of_gate + b->of_gate};
}

}  // namespace

void factors(const GraphView& view, ir::ValueId id, std::vector<ir::ValueId>& found) { factors_within(view, id, kMaxDepth, found); }

std::optional<Gated> gated(const GraphView& view, ir::ValueId id, ir::ValueId x, ir::ValueId gate, Region& region) {
  return gated_within(view, id, x, gate, kMaxDepth, region);
}

}  // namespace cameo::passes
