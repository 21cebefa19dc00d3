#include "passes/min_cut.h"

#include <gtest/gtest.h>

#include <random>

namespace cameo::passes {
namespace {

TEST(MinCut, CutsTheCheapestEdges) {
  MinCut cut;
  const int a = cut.add_node(), b = cut.add_node();
  cut.add_edge(MinCut::kSource, a, 10);
  cut.add_edge(a, b, 3);
  cut.add_edge(b, MinCut::kSink, 10);
  EXPECT_EQ(cut.solve(), (std::vector<char>{1, 0, 1, 0}));
}

TEST(MinCut, OfEqualOnesTheOneWithTheFewestNodesAtTheSource) {
  MinCut cut;
  const int a = cut.add_node();
  cut.add_edge(MinCut::kSource, a, 5);
  cut.add_edge(a, MinCut::kSink, 5);
  EXPECT_EQ(cut.solve(), (std::vector<char>{1, 0, 0}));
}

TEST(MinCut, NothingToCut) {
  MinCut cut;
  cut.add_node();
  EXPECT_EQ(cut.solve(), (std::vector<char>{1, 0, 0}));
}

// Against all ways to part a few nodes.
TEST(MinCut, IsTheLeastOfAllCuts) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const int nodes = 2 + static_cast<int>(random() % 6);
    MinCut cut;
    for (int i = 2; i < nodes; ++i) cut.add_node();
    struct Edge {
      int from, to;
      int64_t capacity;
    };
    std::vector<Edge> edges;
    for (int i = 0; i < 3 * nodes; ++i) {
      const Edge edge = {static_cast<int>(random() % static_cast<unsigned>(nodes)),
                         static_cast<int>(random() % static_cast<unsigned>(nodes)), static_cast<int64_t>(random() % 10)};
      edges.push_back(edge);
      cut.add_edge(edge.from, edge.to, edge.capacity);
    }
    const auto price = [&](auto with_source) {
      int64_t sum = 0;
      for (const Edge& e : edges) sum += with_source(e.from) && !with_source(e.to) ? e.capacity : 0;
      return sum;
    };
    const std::vector<char> found = cut.solve();
    int64_t least = MinCut::kInfinite;
    for (int set = 0; set < 1 << nodes; ++set)
      if ((set & 1) && !(set & 2)) least = std::min(least, price([&](int node) { return (set >> node & 1) != 0; }));
    EXPECT_TRUE(found[MinCut::kSource] && !found[MinCut::kSink]) << seed;
    EXPECT_EQ(price([&](int node) { return found[static_cast<size_t>(node)] != 0; }), least) << seed;
  }
}

TEST(MinCut, LongChainsTakeLittleTime) {
  MinCut cut;
  int last = MinCut::kSource;
  for (int i = 0; i < 50000; ++i) {
    const int next = cut.add_node();
    cut.add_edge(last, next, 7);
    last = next;
  }
  cut.add_edge(last, MinCut::kSink, 7);
  EXPECT_EQ(cut.solve()[2], 0);
}

}  // namespace
}  // namespace cameo::passes
