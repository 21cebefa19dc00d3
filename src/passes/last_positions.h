// Nodes that only the logits need work on the last position of each row alone.
#pragma once

#include <functional>

#include "passes/graph_builder.h"
#include "passes/sequence_axes.h"

namespace cameo::passes {

// `last`: int64[batch], the position of each row that `logits` [batch, sequence, vocabulary] is wanted of; it becomes
// [batch, 1, vocabulary]. All nodes after the last Attention that nothing else reads are moved behind the choice, where their shapes
// allow it. The values' `axes` are as they are before.
Status keep_last_positions(GraphBuilder& builder, ir::ValueId& logits, ir::ValueId last,
                           const std::function<std::optional<SequenceAxes>(ir::ValueId)>& axes);

}  // namespace cameo::passes
