#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;

Id extent(TestGraph& g, Id x, int64_t axis) { return g.node("Gather", {g.node("Shape", {x}), g.constant<int64_t>({}, {axis})}); }
Id list(TestGraph& g, std::vector<Id> entries) {
  for (Id& id : entries)
    if (g.graph.value(id).type.shape == std::nullopt || !g.graph.value(id).is_constant()) id = g.node("Unsqueeze", {id, g.ints({0})});
  return g.node("Concat", entries, {{"axis", int64_t{0}}});
}
const std::vector<Symbols> kShapes = {{{"b", 2}, {"s", 5}}, {{"b", 0}, {"s", 4}}, {{"b", 3}, {"s", 0}}, {{"b", 1}, {"s", 1}}};

TEST(ShapeComputation, StaticShapesBecomeConstants) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {4, 6});
  const auto half = g.node("Div", {extent(g, x, 1), g.constant<int64_t>({}, {2})});
  g.output(g.node("Reshape", {x, list(g, {extent(g, x, 0), half, g.ints({2})})}));
  EXPECT_EQ(ops_of(optimised(g.graph, "shape_computation")), "Reshape");
}

TEST(ShapeComputation, HeadsAreSplitAndMergedWithConstants) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {ir::Dim::symbol("b"), ir::Dim::symbol("s"), 12});
  const auto split = g.node("Reshape", {x, list(g, {extent(g, x, 0), extent(g, x, 1), g.ints({3}), g.ints({4})})});
  const auto turned = g.node("Transpose", {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  const auto back = g.node("Transpose", {turned}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  g.output(g.node("Reshape", {back, list(g, {extent(g, x, 0), extent(g, x, 1), g.ints({12})})}));
  g.output(g.node("Neg", {turned}));
  const ir::Graph graph = optimised(g.graph, "shape_computation", kShapes);
  EXPECT_EQ(ops_of(graph), "Reshape, Transpose, Transpose, Reshape, Neg");
  const Tensor& target = graph.value(graph.nodes[0].inputs[1]).constant;
  EXPECT_EQ(std::vector<int64_t>(target.data<int64_t>(), target.data<int64_t>() + 4), (std::vector<int64_t>{0, 0, 3, 4}));
}

TEST(ShapeComputation, OneExtentIsInferred) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {ir::Dim::symbol("b"), ir::Dim::symbol("s"), 12});
  const auto rows = g.node("Mul", {extent(g, x, 0), extent(g, x, 1)});
  g.output(g.node("Reshape", {x, list(g, {rows, g.ints({12})})}));
  const auto flat = g.node("Mul", {extent(g, x, 1), g.constant<int64_t>({}, {12})});
  g.output(g.node("Reshape", {x, list(g, {extent(g, x, 0), flat})}));
  // Not with extents of 0, which would ask the Reshape as it is written to copy one.
  const ir::Graph graph = optimised(g.graph, "shape_computation", {{{"b", 2}, {"s", 5}}, {{"b", 1}, {"s", 1}}});
  EXPECT_EQ(ops_of(graph), "Reshape, Reshape");
}

TEST(ShapeComputation, TwoExtentsThatTheInputDoesNotHaveAreComputed) {
  TestGraph g;
  const auto b = ir::Dim::symbol("b"), s = ir::Dim::symbol("s");
  const auto ids = g.input("ids", DType::kInt64, {b, s});
  const auto flat = g.input("flat", DType::kFloat32, {b * s, 12});
  PassReport report;
  g.output(g.node("Reshape", {flat, list(g, {extent(g, ids, 0), extent(g, ids, 1), g.ints({12})})}));
  const ir::Graph graph = optimised(g.graph, "shape_computation", {}, &report);
  EXPECT_EQ(count(graph, "Concat"), 1u);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("its shape [b, s, 12] cannot be written as a constant"), std::string::npos) << report.notes[0];
}

TEST(ShapeComputation, EqualExtentsAreReadOnceFromTheInput) {
  TestGraph g;
  const auto b = ir::Dim::symbol("b"), s = ir::Dim::symbol("s");
  const auto x = g.input("x", DType::kFloat32, {b, s});
  const auto y = g.node("Transpose", {g.node("Neg", {x})});
  const auto long_way = g.node("Sub", {g.node("Add", {extent(g, y, 0), extent(g, y, 1)}), extent(g, y, 1)});  // s + b - b
  g.output(g.node("Expand", {g.constant<float>({1}, {3}), list(g, {long_way})}));
  g.output(g.node("Expand", {g.constant<float>({1}, {4}), list(g, {extent(g, y, 0)})}));
  const ir::Graph graph = optimised(g.graph, "", kShapes);
  EXPECT_EQ(ops_of(graph), "Shape, Expand, Expand");
}

TEST(ShapeComputation, WhatWasComputedFirstMayBeGone) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {ir::Dim::symbol("b"), ir::Dim::symbol("s"), 12});
  const auto product = [&] { return g.node("Mul", {extent(g, x, 0), extent(g, x, 1)}); };
  g.output(g.node("Reshape", {x, list(g, {product(), g.ints({12})})}));  // takes a constant, and b * s loses its use
  const auto zero = g.constant<int64_t>({}, {0}), one = g.constant<int64_t>({}, {1});
  g.output(g.node("Range", {zero, product(), one}));
  g.output(g.node("Range", {one, product(), one}));
  const ir::Graph graph = optimised(g.graph, "shape_computation", {{{"b", 2}, {"s", 5}}});
  EXPECT_EQ(count(graph, "Mul"), 1u);
}

TEST(ShapeComputation, UnknownExtentsAreLeftAlone) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {ir::Dim::unknown(), ir::Dim::unknown(), 4});
  g.output(g.node("Reshape", {x, list(g, {extent(g, x, 1), extent(g, x, 0), g.ints({4})})}));
  EXPECT_EQ(count(optimised(g.graph, "shape_computation"), "Concat"), 1u);
}

}  // namespace
}  // namespace cameo::passes
