// Type and shape inference over nodes and graphs, symbolic or exact; what is known of each value is a Fact.
#pragma once

#include <span>
#include <vector>

#include "ops/op.h"

namespace cameo::ops {

// What is known of a value.
struct Fact {
  ir::Type type;
  Tensor constant;                  // the value itself, when known
  std::optional<ir::Shape> values;  // elements of a small integer tensor, possibly symbolic

  static Fact of(Tensor constant);
  static Fact of(ir::Type type) { return {std::move(type), {}, std::nullopt}; }
};

struct InferOptions {
  // Nodes whose inputs are all known are evaluated when inputs and outputs together have at most this many
  // elements; 0 evaluates nothing.
  int64_t fold_elements = 4096;
};

// Checks arity and types of the node against its OpDef and infers its outputs. `facts` is indexed by value
// id; facts of the outputs are written. Errors name the node.
Status infer_node(const ir::Node& node, std::vector<Fact>& facts, const InferOptions& options = {});

// The facts of all values of a graph, given those of its inputs (in the order of graph.inputs).
Result<std::vector<Fact>> infer_graph(const ir::Graph& graph, std::span<const Fact> inputs, const InferOptions& options = {});

}  // namespace cameo::ops
