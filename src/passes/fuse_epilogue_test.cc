#include "ops/cameo_conv.h"
#include "ops/cameo_matmul.h"
#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Ints = std::vector<int64_t>;
const ir::Dim kN = ir::Dim::symbol("n");
const std::vector<std::string> kPasses = {"fuse_conv", "fuse_matmul", "fuse_pointwise", "fuse_epilogue"};

template <class Fn>
ir::Graph conv_then(Fn f, std::string* notes = nullptr) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 2, 4, 4});
  const Id y =
      g.node("Conv", {x, g.input("w", DType::kFloat32, {2, 2, 3, 3}), g.constant<float>({2}, {1, -1})}, {{"pads", Ints{1, 1, 1, 1}}});
  g.output(f(g, x, y));
  return fused(g.graph, kPasses, {{}, {{"n", 0}}, {{"n", 1}}}, 4e-6, notes);
}

TEST(FuseEpilogue, ActivationsAfterConvolutions) {
  for (const char* op : {"Relu", "Sigmoid", "HardSwish", "Swish", "LeakyRelu", "Gelu", "Mish", "Tanh", "HardSigmoid", "Elu", "Softplus"})
    EXPECT_EQ(ops_of(conv_then([&](TestGraph& g, Id, Id y) { return g.node(op, {y}); })), "Conv") << op;
  EXPECT_EQ(ops_of(conv_then([](TestGraph& g, Id, Id y) { return g.node("Clip", {y, g.scalar(0), g.scalar(6)}); })), "Conv");
  EXPECT_EQ(ops_of(conv_then([](TestGraph& g, Id, Id y) {
              return g.node("PRelu", {y, g.constant<float>({2, 1, 1}, {0.5f, 2})});
            })),
            "Conv");
  // SiLU in two nodes.
  EXPECT_EQ(ops_of(conv_then([](TestGraph& g, Id, Id y) { return g.node("Mul", {y, g.node("Sigmoid", {y})}); })), "Conv");
}

TEST(FuseEpilogue, ResidualsAndGates) {
  const ir::Graph graph = conv_then([](TestGraph& g, Id x, Id y) {
    return g.node("Relu", {g.node("Add", {g.node("Mul", {y, g.scalar(2)}), x})});
  });
  EXPECT_EQ(ops_of(graph), "Conv");
  EXPECT_EQ(graph.nodes[0].sources.size(), 4u);
  EXPECT_EQ(ops_of(conv_then([](TestGraph& g, Id x, Id y) {
              return g.node("Mul", {y, g.node("ReduceMean", {x, g.ints({2, 3})})});
            })),
            "ReduceMean, Conv");
}

TEST(FuseEpilogue, TwoProductsThatAreAdded) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 4});
  const Id a = g.node("Gemm", {x, g.input("a", DType::kFloat32, {4, 3}), g.input("c", DType::kFloat32, {3})});
  const Id b = g.node("Tanh", {g.node("MatMul", {x, g.input("b", DType::kFloat32, {4, 3})})});
  g.output(g.node("Relu", {g.node("Add", {a, b})}));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses, {{}, {{"n", 0}}})), "MatMul, MatMul");
}

TEST(FuseEpilogue, BatchedProducts) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 2, 3, 4}), y = g.input("y", DType::kFloat32, {2, 4, 5});
  g.output(g.node("Add", {g.node("Div", {g.node("MatMul", {x, y}), g.scalar(8)}), g.input("mask", DType::kFloat32, {1, 3, 5})}));
  EXPECT_EQ(ops_of(fused(g.graph, kPasses, {{}, {{"n", 0}}})), "MatMul");
}

TEST(FuseEpilogue, WhatStaysApart) {
  std::string notes;
  // The result is also used elsewhere.
  EXPECT_EQ(ops_of(conv_then(
                [](TestGraph& g, Id, Id y) {
                  return g.node("Mul", {y, g.node("Sigmoid", {g.node("ReduceMean", {y, g.ints({2, 3})})})});
                },
                &notes)),
            "Conv, ReduceMean, Pointwise, Pointwise");
  EXPECT_NE(notes.find("is also used elsewhere"), std::string::npos);
  // The sum is larger than the product.
  TestGraph g;
  const Id y = g.node("MatMul", {g.input("x", DType::kFloat32, {1, 4}), g.input("w", DType::kFloat32, {4, 3})});
  g.output(g.node("Add", {y, g.input("z", DType::kFloat32, {5, 3})}));
  notes.clear();
  EXPECT_EQ(ops_of(fused(g.graph, kPasses, {{}}, 4e-6, &notes)), "MatMul, Pointwise");
  EXPECT_NE(notes.find("it may be larger than the result"), std::string::npos);
  // A graph output.
  TestGraph h;
  const Id z = h.node("MatMul", {h.input("x", DType::kFloat32, {2, 4}), h.input("w", DType::kFloat32, {4, 3})});
  h.output(z);
  h.output(h.node("Relu", {z}));
  EXPECT_EQ(ops_of(fused(h.graph, kPasses)), "MatMul, Pointwise");
}

}  // namespace
}  // namespace cameo::passes
