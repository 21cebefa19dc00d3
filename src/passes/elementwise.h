// Which operators work element by element.
#pragma once

#include "ir/graph.h"

namespace cameo::passes {

// Whether the node computes each element of its output from the elements of its inputs that are there, after broadcasting.
bool is_elementwise(const ir::Node& node);

}  // namespace cameo::passes
