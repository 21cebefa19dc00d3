// What passes that follow producers by hand share: known numbers, and the set of nodes that a rewrite takes in.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "passes/view.h"

namespace cameo::passes {

// A known value of one element as a number; nothing for other values.
std::optional<double> number_of(const GraphView& view, ir::ValueId id);

// How far the constants of a formula may be off, relative: exporters write sqrt(2) as 1.4142135 or, in 16 bits, as 1.4140625.
double constant_tolerance(DType dtype);
// True when `found` is `wanted` within the tolerance of that type.
bool is_close(double found, double wanted, DType dtype);

// The producer of a value when it is that operator of ai.onnx; null otherwise.
const ir::Node* made_by(const GraphView& view, ir::ValueId id, std::string_view op);

// Axes of a reduction, counted from the front and ascending. Nothing when they or the rank are not known, and for one that
// does not keep the reduced axes.
std::optional<std::vector<int64_t>> kept_reduction_axes(const GraphView& view, const ir::Node& node);
// The first axis when the axes are all from there to the last; nothing otherwise.
std::optional<int64_t> trailing_axis(const std::vector<int64_t>& axes, size_t rank);

// The axis, counted from the end, of the only extent that is not 1.
std::optional<size_t> only_long_axis(const ir::Shape& shape);

// Nodes that a rewrite replaces, found by walking from the root towards the inputs.
class Region {
 public:
  explicit Region(const GraphView& view) : view_(view) {}
  void add(const ir::Node& node);
  // Names a node other than `root` whose result is also used outside; empty when there is none.
  std::string used_outside(const ir::Node& root) const;
  // The ONNX nodes of all of them.
  std::vector<std::string> sources() const;

 private:
  const GraphView& view_;
  std::vector<const ir::Node*> nodes_;
};

}  // namespace cameo::passes
