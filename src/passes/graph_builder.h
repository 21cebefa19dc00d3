// Appends nodes to a graph whose nodes are put together anew, one after the other, and infers them at once.
#pragma once

#include <string_view>
#include <vector>

#include "ops/infer.h"
#include "passes/attributes.h"

namespace cameo::passes {

class GraphBuilder {
 public:
  // `facts`: what is known of the values that there are.
  GraphBuilder(ir::Graph& graph, std::vector<ops::Fact> facts);

  // A value that will be an input.
  ir::ValueId input(const std::string& name, ir::Type type);
  ir::ValueId constant(Tensor tensor);
  // A constant int64 list.
  ir::ValueId ints(std::initializer_list<int64_t> values);
  ir::ValueId ints(std::span<const int64_t> values);
  // A constant scalar; an error for types that are no numbers.
  Result<ir::ValueId> number(DType type, double value);

  // Appends a node that exists. Errors are those of inference.
  Status add(ir::Node node);
  // Appends a node with one output, of the newest version of the ai.onnx operator. A mistake is kept for status().
  ir::ValueId node(std::string_view op, std::vector<ir::ValueId> inputs, const AttrList& attrs = {});
  // The copy of a node with other inputs and attributes, and a new output.
  ir::ValueId copy(const ir::Node& node, std::vector<ir::ValueId> inputs, const AttrList& attrs = {});
  // The first thing that went wrong.
  const Status& status() const { return status_; }

  const ir::Graph& graph() const { return graph_; }
  std::vector<ir::Node>& nodes() { return graph_.nodes; }
  const std::vector<ops::Fact>& facts() const { return facts_; }
  const ops::Fact& fact(ir::ValueId id) const { return facts_[id]; }
  DType dtype(ir::ValueId id) const { return facts_[id].type.dtype; }
  const std::optional<ir::Shape>& shape(ir::ValueId id) const { return facts_[id].type.shape; }
  bool same_shape(ir::ValueId a, ir::ValueId b) const;
  // Where inference cannot say as much.
  void set_shape(ir::ValueId id, ir::Shape shape) { facts_[id].type.shape = std::move(shape); }
  // The node that makes the value among those appended, or null.
  const ir::Node* producer(ir::ValueId id) const;

 private:
  ir::ValueId new_value(const std::string& name);

  ir::Graph& graph_;
  std::vector<ops::Fact> facts_;
  std::vector<int32_t> producers_;
  Status status_;
};

}  // namespace cameo::passes
