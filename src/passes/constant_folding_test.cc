#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

ir::Graph folded(const ir::Graph& graph, PassReport* report, int64_t budget = 1 << 20) {
  ir::Graph result = graph;
  PassOptions options{.verify = true, .folding_budget_bytes = budget};
  for (const Pass* pass : all_passes())
    if (pass->name != "constant_folding") options.disabled.emplace_back(pass->name);
  std::vector<PassReport> reports;
  const auto status = run_passes(result, options, reports);
  EXPECT_TRUE(status.ok()) << status.error().message();
  *report = reports[0];
  return result;
}

TEST(ConstantFolding, ChainsOfConstants) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3});
  const auto w = g.node("Transpose", {g.node("Mul", {g.constant<float>({3, 2}, {1, 2, 3, 4, 5, 6}), g.scalar(0.1f)})});
  g.output(g.node("Add", {x, w}));
  EXPECT_EQ(ops_of(optimised(g.graph, "constant_folding")), "Add");
}

TEST(ConstantFolding, OutputsOfTheGraph) {
  TestGraph g;
  g.input("x", DType::kFloat32, {2});
  const auto parts = g.nodes("Split", {g.constant<float>({4}, {1, 2, 3, 4})}, 2, {{"num_outputs", int64_t{2}}});
  g.output(parts[1]);
  g.output(g.node("Neg", {parts[0]}));
  EXPECT_EQ(ops_of(optimised(g.graph, "constant_folding")), "");
}

TEST(ConstantFolding, LargerThanInferenceDoesByItself) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {100, 100});
  g.output(g.node("Add", {x, g.node("Neg", {g.graph.add_constant("w", Tensor::allocate(DType::kFloat32, {100, 100}).value())})}));
  EXPECT_EQ(ops_of(optimised(g.graph, "constant_folding")), "Add");
}

TEST(ConstantFolding, SmallConstantsAreNotBlownUp) {
  for (const char* op : {"Expand", "Tile", "ConstantOfShape"}) {
    TestGraph g;
    const auto x = g.input("x", DType::kFloat32, {1, 1});
    const auto size = g.ints({512, 512});
    const auto large = op == std::string("ConstantOfShape") ? g.node(op, {size}) : g.node(op, {g.constant<float>({1, 1}, {2}), size});
    g.output(g.node("Add", {x, large}));
    PassReport report;
    EXPECT_EQ(ops_of(folded(g.graph, &report, int64_t{1} << 30)), std::string(op) + ", Add");
    ASSERT_EQ(report.notes.size(), 1u);
    EXPECT_NE(report.notes[0].find("it makes 1048576 bytes out of"), std::string::npos) << report.notes[0];
  }
  TestGraph g;
  const auto x = g.input("x", DType::kInt64, {1});
  const auto range = g.node("Range", {g.constant<int64_t>({}, {0}), g.constant<int64_t>({}, {100000}), g.constant<int64_t>({}, {1})});
  g.output(g.node("Add", {x, range}));
  EXPECT_EQ(ops_of(optimised(g.graph, "constant_folding")), "Range, Add");
}

TEST(ConstantFolding, Budget) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {100, 100});
  const auto w = g.graph.add_constant("w", Tensor::allocate(DType::kFloat32, {100, 100}).value());
  g.output(g.node("Add", {g.node("Add", {x, g.node("Neg", {w})}), g.node("Tanh", {w})}));
  g.output(w);
  PassReport report;
  EXPECT_EQ(ops_of(folded(g.graph, &report, 50000)), "Add, Tanh, Add");
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_EQ(report.notes[0], "node 'Tanh_2' (Tanh): its result adds 40000 bytes, more than the 10000 left of the folding budget");
  EXPECT_EQ(ops_of(folded(g.graph, &report, 0)), "Neg, Add, Tanh, Add");
}

TEST(ConstantFolding, WhatReplacesItsInputIsFree) {
  TestGraph g;
  const auto w = g.graph.add_constant("w", Tensor::allocate(DType::kFloat32, {100, 100}).value());
  g.output(g.node("Add", {g.input("x", DType::kFloat32, {100, 100}), g.node("Transpose", {w})}));
  PassReport report;
  EXPECT_EQ(ops_of(folded(g.graph, &report, 0)), "Add");
}

TEST(ConstantFolding, RandomNodesStay) {
  TestGraph g;
  const auto dropped = g.node("Dropout", {g.constant<float>({2}, {1, 2}), g.scalar(0.5f), g.constant<bool>({}, {true})});
  g.output(g.node("Add", {g.input("x", DType::kFloat32, {1}), dropped}));
  PassReport report;
  EXPECT_EQ(ops_of(folded(g.graph, &report)), "Dropout, Add");
}

TEST(ConstantFolding, WhatFailsIsLeftToTheRun) {
  TestGraph g;
  const auto index = g.graph.add_constant("i", Tensor::allocate(DType::kInt64, {5000}).value());
  for (int64_t& i : g.graph.value(index).constant.span<int64_t>()) i = 7;
  const auto picked = g.node("Gather", {g.constant<float>({2}, {1, 2}), index});
  g.output(g.node("Add", {g.input("x", DType::kFloat32, {1}), picked}));
  PassReport report;
  EXPECT_EQ(ops_of(folded(g.graph, &report)), "Gather, Add");
  EXPECT_EQ(report.notes.size(), 1u);
}

}  // namespace
}  // namespace cameo::passes
