// Recognises masks that let every query see the keys up to its own position, and nothing else.
#pragma once

#include "passes/view.h"

namespace cameo::passes {

// True when the boolean value is provably [.., i, j] = (j <= i + offset) for all of its last two axes, and the same along the
// others: comparisons of two Ranges, Trilu of ones, slices of a constant triangle.
bool is_causal_mask(const GraphView& view, ir::ValueId mask, const ir::Dim& offset);

// The same for a known tensor of numbers to add: 0 where j <= i + offset, and at most -10000 elsewhere.
bool is_causal_bias(const GraphView& view, ir::ValueId bias, const ir::Dim& offset);

}  // namespace cameo::passes
