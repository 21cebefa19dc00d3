#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

TEST(CommonSubexpressions, EqualChainsAndConstants) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2});
  const auto branch = [&] { return g.node("Softmax", {g.node("Mul", {x, g.scalar(2)})}, {{"axis", int64_t{0}}}); };
  g.output(g.node("Sub", {branch(), branch()}));
  const ir::Graph graph = optimised(g.graph, "common_subexpressions");
  EXPECT_EQ(ops_of(graph), "Mul, Softmax, Sub");
  EXPECT_EQ(graph.nodes[0].sources, (std::vector<std::string>{"Mul_0", "Mul_2"}));
}

TEST(CommonSubexpressions, Differences) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 2});
  std::vector<ir::ValueId> all;
  all.push_back(g.node("Softmax", {x}, {{"axis", int64_t{0}}}));
  all.push_back(g.node("Softmax", {x}, {{"axis", int64_t{1}}}));
  all.push_back(g.node("Softmax", {x}, {{"axis", int64_t{1}}}, 11));
  all.push_back(g.node("Sub", {all[0], all[1]}));
  all.push_back(g.node("Sub", {all[1], all[0]}));
  all.push_back(g.node("Mul", {x, g.scalar(0.0f)}));
  all.push_back(g.node("Mul", {x, g.scalar(-0.0f)}));
  all.push_back(g.node("Mul", {x, g.constant<float>({1}, {0})}));
  for (auto id : all) g.output(id);
  EXPECT_EQ(optimised(g.graph, "common_subexpressions").nodes.size(), all.size());
}

TEST(CommonSubexpressions, RandomNodesStayApart) {
  TestGraph g;
  const std::vector<ir::ValueId> inputs = {g.input("x", DType::kFloat32, {2}), g.scalar(0.5f), g.constant<bool>({}, {true})};
  g.output(g.node("Sub", {g.node("Dropout", inputs), g.node("Dropout", inputs)}));
  EXPECT_EQ(optimised(g.graph, "common_subexpressions", {}).nodes.size(), 3u);
}

TEST(CommonSubexpressions, OutputsOfTheGraph) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2});
  const auto a = g.node("Neg", {x}), b = g.node("Neg", {x});
  g.output(g.node("Tanh", {a}));
  g.output(b);  // keeps its name; the first takes its place
  EXPECT_EQ(ops_of(optimised(g.graph, "common_subexpressions")), "Neg, Tanh");
  g.output(a);  // two names for the same: both stay
  EXPECT_EQ(count(optimised(g.graph, "common_subexpressions"), "Neg"), 2u);
}

TEST(CommonSubexpressions, SeveralOutputs) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {4});
  const AttrList two = {{"num_outputs", int64_t{2}}};
  const auto a = g.nodes("Split", {x}, 2, two), b = g.nodes("Split", {x}, 2, two);
  g.output(g.node("Add", {a[0], b[1]}));
  g.output(g.node("Sub", {b[0], a[1]}));
  EXPECT_EQ(ops_of(optimised(g.graph, "common_subexpressions")), "Split, Add, Sub");
}

}  // namespace
}  // namespace cameo::passes
