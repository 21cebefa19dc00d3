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
  int subgraph_depth = 0;  // see InferContext
};

// Checks arity and input types of the context's node against its OpDef.
Status check_node(const InferContext& context);

// The elements of an int32 or int64 tensor of rank 0 or 1 as extents; nothing for other or long tensors.
std::optional<ir::Shape> index_values(const Tensor& tensor);

// Checks the node (check_node) and infers its outputs. `facts` is indexed by value
// id; facts of the outputs are written. Errors name the node.
Status infer_node(const ir::Node& node, std::vector<Fact>& facts, const InferOptions& options = {});

// The facts of all values of a graph, given those of its inputs (in the order of graph.inputs).
Result<std::vector<Fact>> infer_graph(const ir::Graph& graph, std::span<const Fact> inputs, const InferOptions& options = {});

}  // namespace cameo::ops
