#include "ops/cameo_matmul.h"

#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Ints = std::vector<int64_t>;
const ir::Dim kB = ir::Dim::symbol("b"), kS = ir::Dim::symbol("s");

const ops::CameoMatMulAttrs& attrs_of(const ir::Graph& graph, size_t node = 0) {
  return graph.nodes[node].attrs_as<ops::CameoMatMulAttrs>();
}

TEST(FuseMatMul, ProductsAndTheirTransposes) {
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 2; ++b) {
      TestGraph g;
      Id x = g.input("x", DType::kFloat32, a ? ir::Shape{kB, 4, 3} : ir::Shape{kB, 3, 4});
      Id y = g.input("y", DType::kFloat32, b ? ir::Shape{5, 4} : ir::Shape{4, 5});
      if (a) x = g.node("Transpose", {x}, {{"perm", Ints{0, 2, 1}}});
      if (b) y = g.node("Transpose", {y});
      g.output(g.node("MatMul", {x, y}));
      const ir::Graph graph = fused(g.graph, {"fuse_matmul"}, {{}, {{"b", 0}}});
      EXPECT_EQ(ops_of(graph), "MatMul");
      EXPECT_EQ(attrs_of(graph).trans_a, a);
      EXPECT_EQ(attrs_of(graph).trans_b, b);
    }
  // Others than the last two axes.
  TestGraph g;
  const Id x = g.node("Transpose", {g.input("x", DType::kFloat32, {3, 2, 4})}, {{"perm", Ints{1, 0, 2}}});
  g.output(g.node("MatMul", {x, g.input("y", DType::kFloat32, {4, 5})}));
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_matmul"})), "Transpose, MatMul");
}

TEST(FuseMatMul, GemmInAllItsForms) {
  for (int flags = 0; flags < 4; ++flags)
    for (float beta : {1.f, 0.5f, 0.f})
      for (const ir::Shape& c : {ir::Shape{5}, ir::Shape{3, 5}, ir::Shape{3, 1}, ir::Shape{}, ir::Shape{1}}) {
        TestGraph g;
        const Id x = g.input("x", DType::kFloat32, flags & 1 ? ir::Shape{4, 3} : ir::Shape{3, 4});
        const Id y = g.input("y", DType::kFloat32, flags & 2 ? ir::Shape{5, 4} : ir::Shape{4, 5});
        g.output(g.node("Gemm", {x, y, g.input("c", DType::kFloat32, c)},
                        {{"alpha", 0.25f}, {"beta", beta}, {"transA", int64_t{flags & 1}}, {"transB", int64_t{flags & 2}}}));
        EXPECT_EQ(ops_of(fused(g.graph, {"fuse_matmul"})), "MatMul");
      }
  TestGraph g;
  g.output(g.node("Gemm", {g.input("x", DType::kFloat32, {3, 4}), g.input("y", DType::kFloat32, {4, 2})}));
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_matmul"})), "MatMul");
}

TEST(FuseMatMul, RowsFoldedIntoOneAxis) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kB, kS, 4});
  const Id flat = g.node("Reshape", {x, g.ints({-1, 4})});
  const Id y = g.node("Gemm", {flat, g.input("w", DType::kFloat32, {4, 5}), g.input("c", DType::kFloat32, {5})});
  // The target shape, as exporters compute it.
  const Id shape = g.node("Concat", {g.node("Shape", {x}, {{"end", int64_t{2}}}), g.ints({5})}, {{"axis", int64_t{0}}});
  g.output(g.node("Reshape", {y, shape}));
  const ir::Graph graph = fused(g.graph, {"fuse_matmul"}, {{}, {{"b", 1}, {"s", 7}}});
  EXPECT_EQ(ops_of(graph), "MatMul");
  EXPECT_EQ(graph.nodes[0].sources.size(), 3u);
}

TEST(FuseMatMul, RowsThatStayFolded) {
  std::string notes;
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {2, 3, 4});
  const Id flat = g.node("Reshape", {x, g.ints({6, 4})});
  const Id y = g.node("MatMul", {flat, g.input("w", DType::kFloat32, {4, 5})});
  g.output(g.node("Reshape", {y, g.ints({2, 3, 5})}));
  g.output(g.node("Softmax", {y}));
  const Id z = g.node("Gemm", {flat, g.input("v", DType::kFloat32, {4, 5}), g.input("c", DType::kFloat32, {6, 1})});
  g.output(g.node("Reshape", {z, g.ints({2, 3, 5})}));
  g.output(g.node("Reshape", {g.node("MatMul", {flat, g.input("u", DType::kFloat32, {4, 5})}), g.ints({3, 2, 5})}));
  EXPECT_EQ(count(fused(g.graph, {"fuse_matmul"}, {{}}, 2e-6, &notes), "Reshape"), 4u);
  EXPECT_NE(notes.find("also used with its rows in one axis"), std::string::npos);
  EXPECT_NE(notes.find("has rows of its own"), std::string::npos);
}

TEST(FuseMatMul, WhatStays) {
  std::string notes;
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {3, 4});
  g.output(g.node("MatMul", {x, g.input("v", DType::kFloat32, {4})}));
  g.output(g.node("MatMul", {g.input("i", DType::kInt64, {2, 2}), g.input("j", DType::kInt64, {2, 2})}));
  const ir::Graph graph = fused(g.graph, {"fuse_matmul"}, {{}}, 2e-6, &notes);
  for (const ir::Node& node : graph.nodes) EXPECT_EQ(node.op->domain, "");
  EXPECT_NE(notes.find("an operand is a vector"), std::string::npos);
}

Tensor table(int64_t rows, int64_t columns, bool transposed) {
  Tensor t = Tensor::allocate(DType::kFloat32, transposed ? Dims{columns, rows} : Dims{rows, columns}).value();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      t.data<float>()[transposed ? j * rows + i : i * columns + j] = static_cast<float>((i * 31 + j * 17) % 101) / 64;
  return t;
}

// An embedding table that is also the last layer, as one constant or as two.
TEST(FuseMatMul, TiedWeightsAreKeptOnce) {
  for (bool twice : {false, true}) {
    TestGraph g;
    const Id w = g.graph.add_constant("w", table(700, 100, false));
    const Id x = g.node("Gather", {w, g.input("ids", DType::kInt64, {kB})});
    const Id last = twice ? g.graph.add_constant("t", table(700, 100, true)) : g.node("Transpose", {w});
    g.output(g.node("MatMul", {x, last}));
    const ir::Graph graph = fused(g.graph, {"dead_code", "constant_folding", "fuse_matmul"});
    EXPECT_EQ(ops_of(graph), "Gather, MatMul");
    EXPECT_EQ(attrs_of(graph, 1).trans_b, 1);
    EXPECT_EQ(graph.nodes[0].inputs[0], graph.nodes[1].inputs[1]);
  }
  // Alike but for one element.
  TestGraph g;
  const Id w = g.graph.add_constant("w", table(700, 100, false));
  Tensor other = table(700, 100, true);
  other.data<float>()[12345] += 1;
  g.output(g.node("MatMul", {g.node("Gather", {w, g.input("ids", DType::kInt64, {kB})}), g.graph.add_constant("t", other)}));
  EXPECT_EQ(attrs_of(fused(g.graph, {"fuse_matmul"}), 1).trans_b, 0);
}

}  // namespace
}  // namespace cameo::passes
