// What the fusions of norms share: the arguments of LayerNormalization and RMSNormalization.
#pragma once

#include <optional>

#include "passes/pass.h"

namespace cameo::passes {

// Where a norm that was found stands: x, the first of the axes that it is over (all up to the last), and epsilon.
struct Norm {
  ir::ValueId x;
  int64_t axis;
  float epsilon;
  Dims extents;  // of x from `axis` on
};

// The norm over the axes that the ReduceMean `mean` names, or why it cannot be one operator: the axes are not the last, their
// extents are not known, epsilon is no number that float can hold.
Result<Norm> norm_of(const GraphView& view, ir::ValueId x, const ir::Node& mean, ir::ValueId epsilon);

// A scale or bias as the operators take it, with all extents of the normalized axes; nothing when `value` is not a constant that
// broadcasts within them.
std::optional<Tensor> norm_parameter(const GraphView& view, ir::ValueId value, DType dtype, const Dims& extents);
// Nothing when there is no memory for so many.
std::optional<Tensor> ones(DType dtype, const Dims& extents);
bool is_ones(const GraphView& view, ir::ValueId value);

// The extents of x that a LayerNormalization or RMSNormalization is over; nothing when they are not known.
std::optional<Dims> normalized_extents(const GraphView& view, const ir::Node& norm);

// Pattern: (variance + epsilon) is known as "epsilon"; 1 / sqrt of it, or its square root.
Pattern inverse_root(const Pattern& variance);
Pattern root_of(const Pattern& variance);
// x * 1 / sqrt(variance + epsilon) in all the ways that exporters write it.
Pattern divided_by_root(const Pattern& x, const Pattern& variance);
// x squared.
Pattern square(const Pattern& x);

}  // namespace cameo::passes
