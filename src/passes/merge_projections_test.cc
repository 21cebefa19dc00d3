#include "ops/cameo_matmul.h"
#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
const ir::Dim kN = ir::Dim::symbol("n");
const std::vector<std::string> kPasses = {"fuse_matmul", "fuse_pointwise", "fuse_epilogue", "merge_projections"};

Id weights(TestGraph& g, const Dims& dims) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = static_cast<float>(i * 5 % 11 - 5) / 8;
  return g.graph.add_constant("w", t);
}

ir::Graph left(TestGraph& g, std::string* notes = nullptr) { return fused(g.graph, kPasses, {{}, {{"n", 0}}}, 4e-6, notes); }

TEST(MergeProjections, QueryKeyAndValue) {
  for (bool bias : {false, true}) {
    TestGraph g;
    const Id x = g.input("x", DType::kFloat32, {2, kN, 6});
    for (int64_t columns : {4, 2, 2}) {
      const Id y = g.node("MatMul", {x, weights(g, {6, columns})});
      g.output(bias ? g.node("Add", {weights(g, {columns}), y}) : y);
    }
    const ir::Graph graph = left(g);
    EXPECT_EQ(ops_of(graph), "MatMul");
    EXPECT_EQ(graph.nodes[0].attrs_as<ops::CameoMatMulAttrs>().splits, (std::vector<int64_t>{4, 2, 2}));
    EXPECT_EQ(graph.nodes[0].sources.size(), bias ? 6u : 3u);
  }
}

TEST(MergeProjections, Gemm) {
  for (int64_t transposed : {0, 1}) {
    TestGraph g;
    const Id x = g.input("x", DType::kFloat32, {kN, 3});
    for (int64_t columns : {2, 5})
      g.output(g.node("Gemm", {x, weights(g, transposed ? Dims{columns, 3} : Dims{3, columns}), weights(g, {columns})},
                      {{"transB", transposed}, {"alpha", 0.5f}}));
    EXPECT_EQ(ops_of(left(g)), "MatMul");
  }
}

TEST(MergeProjections, ManyInGroups) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3});
  for (int i = 0; i < 7; ++i) g.output(g.node("MatMul", {x, weights(g, {3, 2 + i})}));
  EXPECT_EQ(ops_of(left(g)), "MatMul, MatMul");
}

TEST(MergeProjections, ProductsOfMergedProducts) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3});
  const Id y = g.node("MatMul", {x, weights(g, {3, 4})});
  g.output(g.node("MatMul", {x, weights(g, {3, 2})}));
  for (int i = 0; i < 2; ++i) g.output(g.node("MatMul", {y, weights(g, {4, 5 + i})}));
  EXPECT_EQ(ops_of(left(g)), "MatMul, MatMul");
}

TEST(MergeProjections, ASplitOfTheColumns) {
  TestGraph g;
  const Id y = g.node("Gemm", {g.input("x", DType::kFloat32, {kN, 3}), weights(g, {3, 9}), weights(g, {9})});
  for (Id id : g.nodes("Split", {y, g.ints({2, 3, 4})}, 3, {{"axis", int64_t{-1}}})) g.output(id);
  EXPECT_EQ(ops_of(left(g)), "MatMul");
  // Along the rows, or with another reader.
  TestGraph h;
  const Id z = h.node("MatMul", {h.input("x", DType::kFloat32, {4, 3}), weights(h, {3, 8})});
  for (Id id : h.nodes("Split", {z}, 2, {{"axis", int64_t{0}}, {"num_outputs", int64_t{2}}})) h.output(id);
  const Id v = h.node("MatMul", {h.input("y", DType::kFloat32, {4, 3}), weights(h, {3, 8})});
  for (Id id : h.nodes("Split", {v}, 2, {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}})) h.output(id);
  h.output(h.node("Softmax", {v}));
  std::string notes;
  EXPECT_EQ(count(left(h, &notes), "Split"), 2u);
  EXPECT_NE(notes.find("what it splits is also used elsewhere"), std::string::npos);
}

TEST(MergeProjections, WhatStaysApart) {
  std::string notes;
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 3}), w = weights(g, {3, 4});
  g.output(g.node("MatMul", {x, w}));  // weights that are used twice
  g.output(g.node("MatMul", {g.input("y", DType::kFloat32, {kN, 3}), w}));
  g.output(g.node("Relu", {g.node("MatMul", {x, weights(g, {3, 4})})}));  // other epilogues
  g.output(g.node("Tanh", {g.node("MatMul", {x, weights(g, {3, 4})})}));
  g.output(g.node("MatMul", {x, g.input("v", DType::kFloat32, {3, 4})}));  // not constant
  g.output(g.node("Sigmoid", {g.node("Add", {g.node("MatMul", {x, weights(g, {3, 4})}), g.input("z", DType::kFloat32, {4})})}));
  EXPECT_EQ(count(left(g, &notes), "MatMul"), 6u);
  EXPECT_NE(notes.find("its weights are also used elsewhere"), std::string::npos);
}

}  // namespace
}  // namespace cameo::passes
