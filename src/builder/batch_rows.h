// Whether a graph may be run on parts of a batch, one after the other.
#pragma once

#include <string>

#include "ir/graph.h"

namespace cameo::builder {

// The symbol that is the first extent of inputs and outputs, where every output's rows depend on the same rows of the inputs
// and on nothing of the others, as far as the operators prove it. A row is what lies between multiples of 1/batch of the
// first axis: [batch * heads, s, s] has heads of them in one. The error is the reason why not (kUnsupported).
Result<std::string> independent_batch(const ir::Graph& graph);

}  // namespace cameo::builder
