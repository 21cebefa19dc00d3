// What a rewrite may look at: a graph, its links, and what inference knows of each value.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "ops/infer.h"

namespace cameo::passes {

class GraphView {
 public:
  const ir::Graph& graph() const { return *graph_; }
  const ir::Node& node(size_t index) const { return graph_->nodes[index]; }

  const ops::Fact& fact(ir::ValueId id) const { return facts_[id]; }
  DType dtype(ir::ValueId id) const { return facts_[id].type.is_tensor() ? facts_[id].type.dtype : DType::kUndefined; }
  // Nothing when the rank is not known.
  const std::optional<ir::Shape>& shape(ir::ValueId id) const { return facts_[id].type.shape; }
  // True when both shapes are provably the same, extent by extent; of unknown extents, because one value is computed element by
  // element from the other.
  bool same_shape(ir::ValueId a, ir::ValueId b) const;

  // The value when it is known; null otherwise, and for kNoValue.
  const Tensor* constant(ir::ValueId id) const {
    return id != ir::kNoValue && facts_[id].constant.defined() ? &facts_[id].constant : nullptr;
  }
  // The elements of a known int32 or int64 tensor of rank 0 or 1.
  std::optional<std::vector<int64_t>> ints(ir::ValueId id) const;
  // Input i of the node, or kNoValue when it is absent.
  static ir::ValueId input(const ir::Node& node, size_t i) { return i < node.inputs.size() ? node.inputs[i] : ir::kNoValue; }

  // Index of the node that makes the value; -1 for inputs, constants and kNoValue.
  int32_t producer_index(ir::ValueId id) const { return id == ir::kNoValue ? -1 : producers_[id]; }
  const ir::Node* producer(ir::ValueId id) const { return producer_index(id) < 0 ? nullptr : &graph_->nodes[producers_[id]]; }
  // Uses by nodes, as captures and as graph outputs.
  size_t uses(ir::ValueId id) const { return use_counts_[id]; }
  bool is_output(ir::ValueId id) const { return output_counts_[id] != 0; }
  bool is_input(ir::ValueId id) const { return is_input_[id] != 0; }
  // True when uses of `from` can read `to` without a copy: not when both are visible from outside under their names.
  bool can_replace(ir::ValueId from, ir::ValueId to) const;

 protected:
  GraphView() = default;
  ~GraphView() = default;

  ir::Graph* graph_ = nullptr;
  std::vector<ops::Fact> facts_;
  std::vector<int32_t> producers_;
  std::vector<uint32_t> use_counts_;
  std::vector<uint32_t> output_counts_;
  std::vector<char> is_input_;

 private:
  // The value that gave this one its shape, as far back as nodes keep shapes.
  ir::ValueId shape_origin(ir::ValueId id, int depth = 0) const;
};

}  // namespace cameo::passes
