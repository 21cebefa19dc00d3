// The result of a rewrite: nodes and constants to add, and values to replace by others.
#pragma once

#include <string>
#include <vector>

#include "passes/attributes.h"
#include "passes/view.h"

namespace cameo::passes {

// Made by a rewrite, applied by the driver. New values have ids at once, so that nodes can be chained:
//   Patch patch(view);
//   auto y = patch.node("Transpose", {x}, {{"perm", perm}});
//   patch.replace(old, y);
// A mistake (an unknown operator or attribute) is kept and reported when the patch is applied.
class Patch {
 public:
  explicit Patch(const GraphView& view) : first_value_(static_cast<ir::ValueId>(view.graph().values.size())) {}

  ir::ValueId constant(Tensor tensor);
  // A constant int64 list.
  ir::ValueId ints(std::span<const int64_t> values);
  // A node with one output, of the newest version of the ai.onnx operator.
  ir::ValueId node(std::string_view op, std::vector<ir::ValueId> inputs, const AttrList& attrs = {});
  // Any node; its outputs that are not kNoValue are replaced by new values, which are returned.
  std::vector<ir::ValueId> node(ir::Node node);
  // Further ONNX nodes, beside those of the match, that the last node made stands for.
  void add_sources(const std::vector<std::string>& sources);
  // Uses of `from` read `to` instead. Names of graph inputs and outputs stay as they are.
  void replace(ir::ValueId from, ir::ValueId to) { replacements_.push_back({from, to}); }

 private:
  friend class Editor;
  struct NewValue {
    Tensor constant;  // undefined() for one that a node makes
    std::string_view made_by;
  };
  struct Replacement {
    ir::ValueId from, to;
  };
  ir::ValueId add(NewValue value);

  ir::ValueId first_value_;
  std::vector<NewValue> values_;
  std::vector<ir::Node> nodes_;
  std::vector<Replacement> replacements_;
  std::string problem_;
};

}  // namespace cameo::passes
