// Trees of Mul and Div, read whatever their order: activations are written as c * x * gate(x) in many ways.
#pragma once

#include "passes/region.h"

namespace cameo::passes {

// The values that the tree at `id` multiplies, inner products and `id` itself included.
void factors(const GraphView& view, ir::ValueId id, std::vector<ir::ValueId>& found);

// coefficient * x^of_x * gate^of_gate
struct Gated {
  double coefficient = 1;
  int of_x = 0, of_gate = 0;
};

// The tree at `id` as a product of numbers, x and gate alone; its nodes are added to the region.
std::optional<Gated> gated(const GraphView& view, ir::ValueId id, ir::ValueId x, ir::ValueId gate, Region& region);

}  // namespace cameo::passes
