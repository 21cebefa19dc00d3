// Steps that only put elements elsewhere (Concat, Expand, Slice, Split, Transpose, and Reshape between them) as parts of the step that
// reads what they give: another such step, or one that works element by element. What lies between is neither written nor read.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "backends/cuda/step.h"
#include "ir/graph.h"
#include "ops/pointwise_program.h"
#include "runtime/specialization.h"

namespace cameo::cuda {

// How each element of a tensor follows from elements of a step's inputs.
struct LayoutExpression {
  enum class Kind : uint8_t {
    kInput,      // element `at` of an input
    kReshape,    // of from[0], the element with the same number
    kTranspose,  // its index along axis a is that along axis numbers[a] of from[0]
    kSlice,      // its index along axis a times numbers[2 a + 1], plus numbers[2 a], is that of from[0]
    kExpand,     // from[0] repeated along axes where it has an extent of 1, or none
    kConcat,     // the one of `from`, one behind the other along `axis`, that the index falls into
    kProgram,    // program(from…)
  };
  Kind kind = Kind::kInput;
  Dims dims;
  std::vector<LayoutExpression> from;
  size_t input = 0;
  std::vector<int64_t> numbers;
  size_t axis = 0;
  ops::PointProgram program;
};

// A step of that kind.
struct FusedLayout {
  std::vector<ir::ValueId> inputs;
  LayoutExpression expression;  // of its output
};

// The values that a node's step reads: those of the node, or others in their place.
using InputsOf = std::function<std::vector<ir::ValueId>(uint32_t node)>;
// The steps of `spec`, which must be complete, that take over others, by node. Those are gone from `spec` then, and the values
// between have no place.
std::map<uint32_t, FusedLayout> fuse_layouts(const ir::Graph& graph, runtime::Specialization& spec, const InputsOf& inputs_of);
// The step: its inputs are those of `layout`, its output the node's.
Status make_fused_layout(StepBuilder& b, const FusedLayout& layout);

}  // namespace cameo::cuda
