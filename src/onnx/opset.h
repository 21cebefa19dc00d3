// A file of ONNX names one opset version for all nodes of a domain; a graph that passes worked on has nodes of several.
#pragma once

#include "ir/graph.h"

namespace cameo::onnx {

// Gives all nodes of ai.onnx, in subgraphs too, the lowest opset version that all of their operators have and that is at least
// `at_least`. Nodes whose operator changed its inputs or meaning in between are rewritten where that is simple (axes and splits
// that were attributes). The graph's results stay the same. kUnsupported, naming the node, when one cannot be rewritten.
// Gives the version; 0 when no node is of ai.onnx.
Result<int> unify_opset(ir::Graph& graph, int at_least);

}  // namespace cameo::onnx
