#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

TEST(DeadCode, NodesValuesAndConstants) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2});
  g.input("unused", DType::kFloat32, {2});
  g.node("Neg", {g.node("Add", {x, g.scalar(1)})});
  g.output(g.node("Tanh", {x}));
  const ir::Graph graph = optimised(g.graph, "dead_code");
  EXPECT_EQ(ops_of(graph), "Tanh");
  EXPECT_EQ(graph.values.size(), 3u) << "two inputs and an output";
  EXPECT_EQ(graph.find("x"), graph.inputs[0]);
}

TEST(DeadCode, OptionalOutputs) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3});
  const auto outputs = g.nodes("MaxPool", {g.node("Unsqueeze", {x, g.ints({0})})}, 2, {{"kernel_shape", std::vector<int64_t>{2}}});
  g.output(outputs[0]);
  const ir::Graph graph = optimised(g.graph, "dead_code");
  EXPECT_EQ(graph.nodes[1].outputs[1], ir::kNoValue);
}

TEST(DeadCode, SplitCountsItsOutputs) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {6});
  g.output(g.nodes("Split", {x}, 3, {{"num_outputs", int64_t{3}}})[1]);
  EXPECT_EQ(optimised(g.graph, "dead_code").nodes[0].outputs.size(), 3u);
}

// if (c) { y = Neg(a), z = Tanh(b) } else { y = Tanh(a), z = Neg(b) }
TestGraph branches(bool use_z) {
  TestGraph g;
  const auto c = g.input("c", DType::kBool, {});
  const auto a = g.node("Exp", {g.input("a", DType::kFloat32, {2})}), b = g.node("Exp", {g.input("b", DType::kFloat32, {2})});
  ir::Node node;
  node.op = ops::find_op("", "If");
  node.version = node.op->max_version;
  node.name = "If_2";
  node.attrs = node.op->make_attrs();
  node.inputs = {c};
  for (const char* attribute : {"then_branch", "else_branch"}) {
    TestGraph inner;
    const auto ia = inner.input("a", DType::kFloat32, {2}), ib = inner.input("b", DType::kFloat32, {2});
    const bool is_then = attribute[0] == 't';
    inner.output(inner.node(is_then ? "Neg" : "Tanh", {ia}));
    inner.output(inner.node(is_then ? "Tanh" : "Neg", {ib}));
    ir::Subgraph subgraph;
    subgraph.attribute = attribute;
    subgraph.graph = std::make_unique<ir::Graph>(inner.graph);
    subgraph.captures = {a, b};
    node.subgraphs.push_back(std::move(subgraph));
  }
  node.outputs = {g.graph.add_value("y"), g.graph.add_value("z")};
  g.output(node.outputs[0]);
  if (use_z) g.output(node.outputs[1]);
  g.graph.nodes.push_back(std::move(node));
  return g;
}

TEST(DeadCode, BranchOutputsAndCaptures) {
  const ir::Graph kept = optimised(branches(true).graph, "dead_code");
  EXPECT_EQ(ops_of(kept), "Exp, Exp, If");
  const ir::Graph graph = optimised(branches(false).graph, "dead_code");
  EXPECT_EQ(ops_of(graph), "Exp, If");
  const ir::Node& node = graph.nodes[1];
  EXPECT_EQ(node.outputs.size(), 1u);
  for (const ir::Subgraph& subgraph : node.subgraphs) {
    EXPECT_EQ(subgraph.captures.size(), 1u);
    EXPECT_EQ(subgraph.graph->inputs.size(), 1u);
    EXPECT_EQ(subgraph.graph->nodes.size(), 1u);
  }
}

TEST(DeadCode, CommonSubexpressionsInBranchesAreKeptApart) {
  EXPECT_EQ(ops_of(optimised(branches(true).graph, "")), "Pointwise, Pointwise, If");
}

TEST(ConstantIf, TheBranchTakenReplacesIt) {
  for (bool taken : {true, false}) {
    TestGraph g = branches(true);
    g.graph.nodes.back().inputs[0] = g.constant<bool>({}, {taken});
    const ir::Graph graph = optimised(g.graph, "constant_if");
    EXPECT_EQ(ops_of(graph), taken ? "Exp, Exp, Neg, Tanh" : "Exp, Exp, Tanh, Neg");
    EXPECT_EQ(graph.value(graph.outputs[1]).name, "z");
  }
}

TEST(ConstantIf, ABranchThatHandsValuesOn) {
  TestGraph g = branches(true);
  ir::Node& node = g.graph.nodes.back();
  node.inputs[0] = g.constant<bool>({}, {true});
  ir::Graph& then = *node.subgraphs[0].graph;
  then.nodes.clear();
  then.outputs = {then.inputs[0], then.add_constant("k", Tensor::of<float>({2}, {5, 6}))};
  const ir::Graph graph = optimised(g.graph, "constant_if");
  EXPECT_EQ(ops_of(graph), "Exp");
}

TEST(ConstantIf, TheSameValueTwice) {
  TestGraph g = branches(true);
  ir::Node& node = g.graph.nodes.back();
  node.inputs[0] = g.constant<bool>({}, {false});
  ir::Graph& otherwise = *node.subgraphs[1].graph;
  otherwise.outputs = {otherwise.outputs[1], otherwise.outputs[1]};
  EXPECT_EQ(count(optimised(g.graph, ""), "Identity"), 1u);
}

}  // namespace
}  // namespace cameo::passes
