// Runs nodes and graphs with their reference implementations, without a plan: every output gets memory of
// its own. Used to fold constants, to run subgraphs, and as the yardstick that tests compare with.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ops/op.h"

namespace cameo::ops {

struct EvaluateOptions {
  // Polled between nodes; an error stops the evaluation.
  std::function<Status()> check_cancelled = {};
};

// Outputs of one node; inputs that are absent are ignored. captures[s] holds the captured values of subgraph s.
Result<std::vector<RtValue>> evaluate_node(const ir::Node& node, std::span<const RtValue> inputs,
                                           std::span<const std::vector<RtValue>> captures, const EvaluateOptions& options = {});

// Outputs of a graph, given all its inputs (for a subgraph: formal ones, then captures).
Result<std::vector<RtValue>> evaluate_graph(const ir::Graph& graph, std::span<const RtValue> inputs, const EvaluateOptions& options = {});

}  // namespace cameo::ops
