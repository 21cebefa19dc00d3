// What a run can do without once all shapes are known.
#pragma once

#include <map>

#include "ir/graph.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

// An additive bias of attention that is the same along diagonals, apart from what is added to it.
struct RelativeBias {
  ir::ValueId mask = ir::kNoValue;  // the rest of the bias, or none
  Tensor table;                     // float32 [1 or heads, queries + keys - 1]: key j - query i + queries - 1
};

// Where a step has what a rounding joined to it brings: the rounding's scale, and its result.
struct RoundingPlace {
  size_t scale, output;
};
inline constexpr RoundingPlace kNormRounding{3, 3}, kAttentionRounding{8, 4};
RoundingPlace rounding_place(const ir::Node& node);

struct Rounding {
  uint32_t node;  // the QuantizeLinear that the step does as well
  bool alone;     // nothing else reads what it rounds
};

struct Simplified {
  std::map<uint32_t, RelativeBias> biases;  // by node, of Attention; its mask input is not computed
  std::map<uint32_t, ir::ValueId> images;   // by node, of Conv with the channels last: what it reads instead, with the channels first
  std::map<uint32_t, Rounding> roundings;   // by node, of a norm or Attention
};

// Changes `spec`, which must be complete:
// - What follows from shapes and constants alone is computed here, once (positions, buckets of relative positions, causal masks).
// - And with a constant that is true everywhere gives its other operand, unrepeated where all that reads it repeats it.
// - Images of few channels are not turned before a convolution alone: it does that with the rest it does to them.
// - A norm or an attention rounds its result to 8-bit floats itself.
// - The sum of a mask and a relative bias, of T5's or MPNet's kind, is not made: RelativeBias.
Result<Simplified> simplify(const ir::Graph& graph, runtime::Specialization& spec);

}  // namespace cameo::cuda
