// The graph between import and plan: nodes in topological order, values by number.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cameo/tensor.h"
#include "ir/attrs.h"
#include "ir/type.h"

namespace cameo::ops {
struct OpDef;
}

namespace cameo::ir {

using ValueId = uint32_t;
inline constexpr ValueId kNoValue = std::numeric_limits<ValueId>::max();  // an optional input or output that is absent

struct Value {
  std::string name;  // unique in the graph
  Type type;         // as far as inference knows it
  Tensor constant;   // defined() for initializers and folded values
  // A constant whose elements are not kept, because every node that reads it has them in a form of its own
  // (Node::packed); its type is concrete.
  bool elided = false;
  bool is_constant() const { return constant.defined(); }
};

class Graph;

// A graph that a node (If, Loop, Scan, SequenceMap) runs. Its inputs are the formal ones, followed by one
// for each value that it captures from the graph around it.
struct Subgraph {
  std::string attribute;  // "then_branch", "body", …
  std::unique_ptr<Graph> graph;
  std::vector<ValueId> captures;  // ids in the enclosing graph; parallel to the last inputs of `graph`

  Subgraph() = default;
  Subgraph(Subgraph&&) = default;
  Subgraph& operator=(Subgraph&&) = default;
  Subgraph(const Subgraph& other);
  Subgraph& operator=(const Subgraph& other);
  size_t num_formal_inputs() const;
};

// A tactic that the builder tried for a node.
struct TacticTrial {
  std::string tactic;
  float microseconds = -1;  // negative when it was not timed
  std::string reason;       // why it was refused; empty when it was not
};

struct Node {
  const ops::OpDef* op = nullptr;
  int version = 0;                     // the opset version of the operator's domain that the model asked for
  std::string name;                    // for messages; not necessarily unique
  std::vector<ValueId> inputs;         // kNoValue where absent
  std::vector<ValueId> outputs;        // kNoValue where absent
  std::shared_ptr<const Attrs> attrs;  // never null
  std::vector<Subgraph> subgraphs;
  std::vector<std::string> sources;  // paths of the ONNX nodes that this node stands for
  std::string kernel;                // the tactic that the builder chose; empty: the reference implementation
  std::vector<Tensor> packed;        // constant inputs in the form that the tactic reads
  std::vector<TacticTrial> trials;   // what the builder tried, best first

  template <class T>
  const T& attrs_as() const {
    return static_cast<const T&>(*attrs);
  }
  // "node 'encoder/layer.0/conv' (Conv)"
  std::string describe() const;
};

// Copyable: passes work on a copy where they must compare.
class Graph {
 public:
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;  // every node stands after the producers of its inputs
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;

  // Adds a value; a name that is taken gets a suffix.
  ValueId add_value(const std::string& name, Type type = {});
  ValueId add_constant(const std::string& name, Tensor tensor);

  Value& value(ValueId id) { return values[id]; }
  const Value& value(ValueId id) const { return values[id]; }
  // The value of that name, or kNoValue.
  ValueId find(const std::string& name) const;

  // Index of the node that makes each value; -1 for inputs and constants. Made anew at each call.
  std::vector<int32_t> producers() const;
  // How many uses each value has: node inputs, captures and graph outputs.
  std::vector<uint32_t> use_counts() const;
  // Replaces every use of `from` (also as capture and graph output) by `to`.
  void replace_uses(ValueId from, ValueId to);

 private:
  std::map<std::string, ValueId> names_;
};

// Calls fn(ValueId&) for every value that the node reads: inputs that are present, then captures.
template <class NodeType, class Fn>
void for_each_use(NodeType& node, Fn fn) {
  for (auto& id : node.inputs)
    if (id != kNoValue) fn(id);
  for (auto& subgraph : node.subgraphs)
    for (auto& id : subgraph.captures) fn(id);
}

// Checks every rule that passes must keep: ids in range, order topological, one producer per value,
// subgraph inputs matching captures, constants consistent with their types. Errors are kInternal.
Status verify(const Graph& graph);

// A readable listing, one node a line.
std::string to_string(const Graph& graph);

// Computes types of all values from those of the inputs and constants; errors name the node.
Status infer_types(Graph& graph);

}  // namespace cameo::ir
