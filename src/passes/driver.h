// Runs the passes over a graph.
#pragma once

#include <vector>

#include "passes/pass.h"

namespace cameo::passes {

// Runs every pass that is not disabled, round after round until a round changes nothing, and leaves in `reports` one entry a
// pass in order. Types of the graph's values are inferred anew. Errors: kInvalidArgument for an unknown name in
// options.disabled; those of inference (kInvalidModel, …); kInternal when a pass broke the graph; those of check_cancelled.
Status run_passes(ir::Graph& graph, const PassOptions& options, std::vector<PassReport>& reports);

}  // namespace cameo::passes
