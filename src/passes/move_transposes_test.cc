#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Ints = std::vector<int64_t>;
const ir::Dim kN = ir::Dim::symbol("n");

TEST(MoveTransposes, ThroughReshapesThatSplitAxes) {
  // As a detector takes its channels apart.
  TestGraph g;
  const Id x = g.node("Transpose", {g.input("x", DType::kFloat32, {kN, 4, 5, 6})}, {{"perm", Ints{0, 3, 1, 2}}});
  const Id boxes = g.node("Reshape", {x, g.ints({0, 2, 3, 4, 5})});
  g.output(g.node("Transpose", {boxes}, {{"perm", Ints{0, 3, 4, 1, 2}}}));
  g.output(g.node("Transpose", {g.node("Reshape", {x, g.ints({0, 3, 2, 2, 2, 5})})}, {{"perm", Ints{0, 2, 1, 3, 5, 4}}}));
  EXPECT_EQ(ops_of(fused(g.graph, {"move_transposes"}, {{}, {{"n", 1}}})), "Reshape, Reshape, Transpose");
}

TEST(MoveTransposes, NotThroughReshapesThatJoinAxes) {
  TestGraph g;
  const Id x = g.node("Transpose", {g.input("x", DType::kFloat32, {kN, 4, 5, 6})}, {{"perm", Ints{0, 3, 1, 2}}});
  g.output(g.node("Transpose", {g.node("Reshape", {x, g.ints({0, 12, 10})})}, {{"perm", Ints{0, 2, 1}}}));
  EXPECT_EQ(ops_of(fused(g.graph, {"move_transposes"})), "Transpose, Reshape, Transpose");
}

TEST(MoveTransposes, OfExtentsOfOne) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 1, 5, 1});
  g.output(g.node("Transpose", {x}, {{"perm", Ints{1, 0, 3, 2}}}));
  g.output(g.node("Transpose", {x}, {{"perm", Ints{2, 0, 1, 3}}}));
  EXPECT_EQ(ops_of(fused(g.graph, {"move_transposes"}, {{}, {{"n", 0}}})), "Reshape, Transpose");
}

TEST(MoveTransposes, ProgramsGoBeforeThem) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3, 4});
  const Id q = g.node("Reshape", {g.node("MatMul", {x, g.input("w", DType::kFloat32, {4, 6})}), g.ints({0, 3, 2, 3})});
  g.output(g.node("Mul", {g.node("Transpose", {q}, {{"perm", Ints{0, 2, 1, 3}}}), g.scalar(0.125f)}));
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_matmul", "fuse_pointwise", "fuse_epilogue", "move_transposes"}, {{}, {{"n", 0}}})),
            "MatMul, Reshape, Transpose");
  // What is read elsewhere as well stays as it is.
  TestGraph h;
  const Id y = h.node("Transpose", {h.node("MatMul", {h.input("x", DType::kFloat32, {3, 4}), h.input("w", DType::kFloat32, {4, 6})})});
  h.output(h.node("Relu", {y}));
  h.output(h.node("Softmax", {y}));
  EXPECT_EQ(ops_of(fused(h.graph, {"fuse_matmul", "fuse_pointwise", "fuse_epilogue", "move_transposes"})),
            "MatMul, Transpose, Pointwise, Softmax");
}

}  // namespace
}  // namespace cameo::passes
