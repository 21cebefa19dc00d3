// Random valid graphs for tests: what networks are made of, put together in ways that no network is.
#pragma once

#include <cstdint>

#include "ir/graph.h"

namespace cameo::test {

struct RandomGraph {
  ir::Graph graph;
  // Results may differ by this much of the largest magnitude: more where 16-bit floats round in between.
  double tolerance = 2e-4;
};

// Numbers for the extents "n" and "s" of the inputs.
struct Sizes {
  int64_t n, s;
};
inline constexpr Sizes kSizes[] = {{2, 5}, {1, 1}, {0, 3}};

// The same graph for the same seed, valid at all of kSizes. What it
// computes stays of moderate size, and depends on its inputs continuously but where those are compared as they are.
RandomGraph random_graph(uint64_t seed);

}  // namespace cameo::test
