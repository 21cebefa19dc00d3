// Minimum cut of a directed graph with capacities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cameo::passes {

// Finds the cheapest way to part nodes into those with the source and those with the sink (Dinic 1970). Node 0 is the source,
// node 1 the sink.
class MinCut {
 public:
  static constexpr int kSource = 0, kSink = 1;
  static constexpr int64_t kInfinite = int64_t{1} << 60;

  int add_node();
  // It costs `capacity` when `from` is with the source and `to` with the sink.
  void add_edge(int from, int to, int64_t capacity);
  // Per node, whether it is with the source; of all the cheapest ways, the one with the fewest there.
  std::vector<char> solve();

 private:
  struct Edge {
    int to;
    int64_t left;
  };
  bool find_levels();
  int64_t push();  // along one path; 0 when there is none

  std::vector<Edge> edges_;  // 2 k and 2 k + 1 are each other's reverse
  std::vector<std::vector<int>> out_ = {{}, {}};
  std::vector<int> level_;
  std::vector<std::size_t> next_;
};

}  // namespace cameo::passes
