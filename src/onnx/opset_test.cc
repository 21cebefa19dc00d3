#include "onnx/opset.h"

#include "onnx/import.h"
#include "onnx/write.h"
#include "passes/pass_test.h"

namespace cameo::onnx {
namespace {

using passes::TestGraph;

// The graph at one opset, which gives what it gave before, also when it is written and read again.
ir::Graph unified(const ir::Graph& graph, int at_least, int expected) {
  ir::Graph result = graph;
  const auto opset = unify_opset(result, at_least);
  EXPECT_TRUE(opset.ok()) << opset.error().message();
  if (!opset.ok()) return result;
  EXPECT_EQ(*opset, expected);
  for (const ir::Node& node : result.nodes) EXPECT_EQ(node.version, expected) << node.describe();
  EXPECT_TRUE(ir::verify(result).ok());
  passes::expect_same_results(graph, result, {});
  const auto bytes = serialize_model(result);
  EXPECT_TRUE(bytes.ok()) << bytes.error().message();
  if (!bytes.ok()) return result;
  const auto model = read_model(std::as_bytes(std::span(*bytes)), "");
  EXPECT_TRUE(model.ok());
  const auto imported = import_model(*model, {});
  EXPECT_TRUE(imported.ok()) << imported.error().message();
  if (imported.ok()) passes::expect_same_results(graph, imported->graph, {});
  return result;
}

TEST(Opset, TheLowestThatAllHave) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 6});
  g.output(g.node("Swish", {g.node("Relu", {x}, {}, 13)}));
  unified(g.graph, 13, 24);
  unified(g.graph, 25, 25);
  TestGraph plain;
  plain.output(plain.node("Relu", {plain.input("x", DType::kFloat32, {2})}, {}, 28));
  unified(plain.graph, 11, 11);
}

TEST(Opset, AttributesThatBecameInputs) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 6});
  const std::vector<int64_t> first = {0}, last = {1}, parts = {2, 4};
  const auto wide = g.node("Unsqueeze", {x}, {{"axes", first}}, 11);
  g.output(g.node("Squeeze", {wide}, {{"axes", first}}, 11));
  g.output(g.node("ReduceSum", {x}, {{"axes", last}, {"keepdims", int64_t{0}}}, 11));
  g.output(g.node("ReduceMean", {x}, {{"axes", last}}, 11));
  g.output(g.node("ReduceMax", {x}, {}, 11));
  for (ir::ValueId part : g.nodes("Split", {x}, 2, {{"axis", int64_t{1}}, {"split", parts}}, 11)) g.output(part);
  for (ir::ValueId part : g.nodes("Split", {x}, 2, {{"axis", int64_t{1}}}, 11)) g.output(part);
  g.output(g.node("Softmax", {x}, {{"axis", int64_t{1}}}, 11));
  g.output(g.node("Gelu", {x}));
  unified(g.graph, 11, 20);
}

TEST(Opset, WhatCannotBeRaised) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3, 4});
  g.output(g.node("Softmax", {x}, {{"axis", int64_t{1}}}, 11));  // over the last two axes together
  g.output(g.node("Gelu", {x}));
  const auto opset = unify_opset(g.graph, 11);
  ASSERT_FALSE(opset.ok());
  EXPECT_EQ(opset.error().code(), ErrorCode::kUnsupported);
  EXPECT_NE(opset.error().message().find("is of opset 11, but others need 20"), std::string::npos) << opset.error().message();
}

TEST(Opset, NodesOfOneNameGetNamesOfTheirOwn) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2});
  g.output(g.node("Neg", {g.node("Abs", {x})}));
  for (ir::Node& node : g.graph.nodes) node.name = "same";
  const auto bytes = serialize_model(g.graph);
  ASSERT_TRUE(bytes.ok());
  const auto imported = import_model(*read_model(std::as_bytes(std::span(*bytes)), ""), {});
  ASSERT_TRUE(imported.ok());
  EXPECT_NE(imported->graph.nodes[0].name, imported->graph.nodes[1].name);
}

}  // namespace
}  // namespace cameo::onnx
