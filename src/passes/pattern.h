// Patterns over a graph, written with operators:
//
//   const Pattern x = any("x");
//   const Pattern centred = op("Sub", x, op("ReduceMean", x).shared());
//   const Pattern variance = op("ReduceMean", op("Pow", centred, scalar(2)));
//   const Pattern norm = op("Div", centred, op("Sqrt", op("Add", variance, constant("epsilon"))));
//
// A pattern describes a value and, through the node that makes it, the values that the node reads. It is matched from its
// root towards the inputs of the graph. The same name twice must be the same value, and the same Pattern object twice, the
// same node. Add, Mul and the other commutative operators with two inputs match in either order.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "passes/view.h"

namespace cameo::passes {

class Pattern {
 public:
  struct Spec;

  // Binds a name to the node (Match::node) and its output (Match[]).
  Pattern as(std::string name) const;
  // The value is output `index` of the node; without this, output 0.
  Pattern output(int index) const;
  // The node's results may also be used outside the match; it then stays. Without this a node below the root must be used
  // inside the match alone, or it would be computed twice.
  Pattern shared() const;
  // The node may have further inputs than those listed.
  Pattern more_inputs() const;
  // A further condition on the node.
  Pattern where(std::function<bool(const GraphView&, const ir::Node&)> condition) const;

 private:
  friend class Matcher;
  friend Pattern any(std::string name);
  friend Pattern absent();
  friend Pattern constant(std::string name);
  friend Pattern scalar(double value, double tolerance);
  friend Pattern op_list(std::vector<std::string> names, std::vector<Pattern> inputs);
  friend Pattern either(std::vector<Pattern> choices);
  friend std::vector<const ops::OpDef*> root_ops(const Pattern& pattern);
  explicit Pattern(std::shared_ptr<const Spec> spec) : spec_(std::move(spec)) {}
  std::shared_ptr<const Spec> spec_;
};

// Any value.
Pattern any(std::string name = {});
// An optional input that is absent.
Pattern absent();
// Any value that is known when the graph is built.
Pattern constant(std::string name = {});
// A known number: one element of any type, |element - value| <= tolerance * |value|.
Pattern scalar(double value, double tolerance = 0);
// The output of a node of one of these operators (of ai.onnx).
Pattern op_list(std::vector<std::string> names, std::vector<Pattern> inputs);
template <class... Inputs>
Pattern op(std::string name, Inputs... inputs) {
  return op_list({std::move(name)}, {std::move(inputs)...});
}
template <class... Inputs>
Pattern op(std::vector<std::string> names, Inputs... inputs) {
  return op_list(std::move(names), {std::move(inputs)...});
}
// The first of these that matches.
Pattern either(std::vector<Pattern> choices);
// A node with one input that may be missing: maybe("Cast", x) is either(op("Cast", x), x).
Pattern maybe(std::string name, Pattern input);

// What a pattern was found to be.
class Match {
 public:
  // The value bound to a name; kNoValue when it is on a path that was not taken.
  ir::ValueId operator[](const std::string& name) const;
  // The node bound to a name; null when it is on a path that was not taken.
  const ir::Node* node(const std::string& name) const;
  const ir::Node& root() const { return view_->node(root_); }
  // Every node matched, the root first.
  const std::vector<uint32_t>& nodes() const { return nodes_; }

 private:
  friend class Matcher;
  const GraphView* view_ = nullptr;
  uint32_t root_ = 0;
  std::vector<uint32_t> nodes_;
  std::map<std::string, ir::ValueId> values_;
  std::map<std::string, uint32_t> named_nodes_;
};

// Matches the pattern with its root at that node. `near_miss` is set when all fits but a node below the root has uses
// elsewhere.
std::optional<Match> match(const Pattern& pattern, const GraphView& view, uint32_t node, std::string* near_miss = nullptr);

// The operators that the root can be.
std::vector<const ops::OpDef*> root_ops(const Pattern& pattern);

}  // namespace cameo::passes
