// Inputs and outputs of other element types than the model's.
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"

namespace cameo::builder {

// Gives the named inputs and outputs these types, with a Cast between each and the rest of the graph, whose types must have been
// inferred. "*" stands for every one whose type is a float's and that is not named. Errors: kInvalidArgument for names that there are
// not, and for what is no tensor of numbers; kUnsupported for outputs that no node makes.
Status set_io_types(ir::Graph& graph, const std::map<std::string, DType>& inputs, const std::map<std::string, DType>& outputs);

}  // namespace cameo::builder
