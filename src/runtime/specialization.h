// A graph made ready for one set of input shapes: every shape inferred once, memory placed, steps listed.
#pragma once

#include <span>
#include <vector>

#include "ops/infer.h"

namespace cameo::runtime {

struct Specialization {
  enum class Place : uint8_t {
    kRunTime,   // made at run time, with memory of its own: size not known, or not a tensor
    kConstant,  // known now
    kElided,    // a constant that is there in packed form only: its tensor has extents and no elements
    kInput,
    kArena,
    kView,    // has the memory of another value, `source`
    kOutput,  // written straight into the memory of a graph output
    kUnused,
  };
  struct ValuePlan {
    Place place = Place::kUnused;
    size_t offset = 0;       // in the arena
    ir::ValueId source = 0;  // of a view: a value that is none itself
    DType dtype = DType::kUndefined;
    Dims dims;
  };
  struct Step {
    uint32_t node = 0;
    bool shapes_known = false;          // outputs are placed already; nothing is left to infer
    std::vector<ir::ValueId> released;  // kRunTime values that nobody reads after this step
  };

  std::vector<ops::Fact> facts;  // by value; those of kRunTime values are filled in while running
  std::vector<ValuePlan> values;
  std::vector<Step> steps;
  std::vector<ir::ValueId> views;
  std::vector<char> inferred;  // by node: nodes with subgraphs that were inferred at run time
  size_t arena_bytes = 0;
  size_t without_reuse = 0;
  size_t output_bytes = 0;
  bool complete = true;  // no kRunTime values
};

// `inputs` are the facts of graph.inputs.
Result<Specialization> specialize(const ir::Graph& graph, std::span<const ops::Fact> inputs);

}  // namespace cameo::runtime
