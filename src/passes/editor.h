// A graph that is being changed by a pass.
#pragma once

#include <span>
#include <vector>

#include "passes/patch.h"
#include "passes/view.h"

namespace cameo::passes {

// Keeps producers, uses and facts right through every change, each of which costs no more than the uses it moves. Node
// indices stay valid until finish(); nodes that nothing reads any more are dropped there, and the order made topological.
class Editor : public GraphView {
 public:
  // Infers the graph, given what is known of its inputs; or takes over the facts that an editor left behind, when the graph
  // has not changed since.
  static Result<Editor> open(ir::Graph& graph, std::span<const ops::Fact> inputs, std::vector<ops::Fact> left_behind = {});

  size_t num_nodes() const { return graph_->nodes.size(); }
  bool alive(size_t index) const { return alive_[index]; }
  ir::Node& mutable_node(size_t index) { return graph_->nodes[index]; }

  // Walks the nodes in topological order, new ones included; kEnd after the last.
  static constexpr uint32_t kEnd = ~uint32_t{0};
  uint32_t first() const { return first_; }
  uint32_t next(uint32_t index) const { return next_[index]; }

  // Applies a patch made for the match of `matched` (indices; the last of them in topological order is `root`).
  // Gives the index of the first new node, or `root`'s successor when there is none. Errors are kInternal, and leave the
  // graph as it was: the patch is malformed, or a replacement's type contradicts that of the value it replaces.
  Result<uint32_t> apply(Patch patch, uint32_t root, std::span<const uint32_t> matched);

  // Makes uses of `from` read `to`, and drops nodes that thereby become unused. Only when can_replace(). Gives the id under
  // which the value lives on: `to`, or `from` where that is a graph output and keeps its name.
  ir::ValueId replace(ir::ValueId from, ir::ValueId to);
  // Turns the outputs of the node into constants (undefined where the output is absent), and drops the node.
  void fold(uint32_t index, std::span<const Tensor> outputs);
  // Adds the ONNX origins of one node to another.
  void merge_sources(uint32_t into, uint32_t from);
  // Takes back one use of the value; for passes that change a node's inputs or captures themselves.
  void drop_use(ir::ValueId id) { --use_counts_[id]; }
  // Makes finish() drop the values that are left over, which gives the others new ids.
  void drop_unused_values() { compact_ = true; }
  // Drops the node, which nothing reads, and its producers as far as nothing else reads them.
  void remove(uint32_t index);

  // Writes the nodes back in order and the types that are known. The editor cannot be used afterwards.
  Status finish();
  // After finish(): the facts, for the next editor; none when values have got new ids.
  std::vector<ops::Fact> leave_facts() { return std::move(facts_); }

 private:
  Editor() = default;
  ir::ValueId new_value(const std::string& name);
  uint32_t insert_before(uint32_t position, ir::Node node);
  void add_uses(uint32_t index);
  void move_uses(ir::ValueId from, ir::ValueId to);
  void release(ir::ValueId id);  // gives the slot of the node that makes the value to a fresh value
  void remove_if_unused(int32_t index);
  Status check(const Patch& patch, std::span<const ir::Node> nodes) const;

  std::vector<std::vector<uint32_t>> users_;  // per value; may hold nodes that no longer read it
  std::vector<char> alive_;
  std::vector<uint32_t> next_, previous_;
  uint32_t first_ = kEnd, last_ = kEnd;
  bool compact_ = false;
};

}  // namespace cameo::passes
