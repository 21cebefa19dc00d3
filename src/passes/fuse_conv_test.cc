#include "ops/cameo_conv.h"

#include "passes/fusion_test.h"

namespace cameo::passes {
namespace {

using Id = ir::ValueId;
using Ints = std::vector<int64_t>;
const ir::Dim kN = ir::Dim::symbol("n"), kH = ir::Dim::symbol("h");

Id weights(TestGraph& g, const Dims& dims) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = static_cast<float>(i % 7 - 3) / 2;
  return g.graph.add_constant("w", t);
}

TEST(FuseConv, BiasBecomesTheEpilogue) {
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {kN, 2, 5, 5});
  g.output(g.node("Conv", {x, weights(g, {3, 2, 3, 3}), g.constant<float>({3}, {1, 2, 3})},
                  {{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 1}}}));
  g.output(g.node("Conv", {x, weights(g, {4, 1, 1, 1})}, {{"group", int64_t{2}}}));
  g.output(g.node("Conv", {x, weights(g, {1, 2, 2, 2}), g.input("b", DType::kFloat32, {1})}, {{"dilations", Ints{2, 3}}}));
  const ir::Graph graph = fused(g.graph, {"fuse_conv"}, {{}, {{"n", 0}}});
  EXPECT_EQ(ops_of(graph), "Conv, Conv, Unsqueeze, Conv");
  for (size_t i : {0u, 1u, 3u}) EXPECT_EQ(graph.nodes[i].op->domain, "ai.cameo");
  EXPECT_EQ(graph.nodes[1].inputs.size(), 2u);
  EXPECT_EQ(graph.nodes[1].sources, std::vector<std::string>{"Conv_1"});
}

TEST(FuseConv, OneAndThreeAxes) {
  TestGraph g;
  g.output(g.node("Conv", {g.input("x", DType::kFloat32, {2, 3, 9}), weights(g, {2, 3, 4}), g.constant<float>({2}, {1, 2})}));
  g.output(g.node("Conv", {g.input("y", DType::kFloat32, {1, 1, 4, 4, 4}), weights(g, {2, 1, 2, 2, 2}), g.constant<float>({2}, {1, 2})}));
  EXPECT_EQ(ops_of(fused(g.graph, {"fuse_conv"})), "Conv, Conv");
}

TEST(FuseConv, AutomaticPaddingBecomesNumbers) {
  for (const char* mode : {"VALID", "SAME_UPPER", "SAME_LOWER", "NOTSET"})
    for (int64_t stride : {1, 2, 3}) {
      SCOPED_TRACE(mode);
      TestGraph g;
      const Id x = g.input("x", DType::kFloat32, {1, 1, 8, stride == 1 ? kH : ir::Dim(7)});
      g.output(g.node("Conv", {x, weights(g, {1, 1, 4, 3})}, {{"auto_pad", std::string(mode)}, {"strides", Ints{stride, stride}}}));
      EXPECT_EQ(fused(g.graph, {"fuse_conv"}, {{}, {{"h", 9}}}).nodes[0].op->domain, "ai.cameo");
    }
}

TEST(FuseConv, WhatCannotBeTold) {
  std::string notes;
  TestGraph g;
  const Id x = g.input("x", DType::kFloat32, {1, 1, kH, 8});
  g.output(g.node("Conv", {x, weights(g, {1, 1, 3, 3})}, {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Ints{2, 2}}}));
  g.output(g.node("Conv", {x, g.input("w", DType::kFloat32, {1, 1, ir::Dim::symbol("k"), 3})}));
  g.output(g.node("Conv", {g.input("d", DType::kFloat64, {1, 1, 3}), g.constant<double>({1, 1, 1}, {2})}));
  const ir::Graph graph = fused(g.graph, {"fuse_conv"}, {{{"h", 7}, {"k", 2}}}, 2e-6, &notes);
  for (const ir::Node& node : graph.nodes) EXPECT_EQ(node.op->domain, "");
  EXPECT_NE(notes.find("its padding depends on extents that are not known"), std::string::npos);
  EXPECT_NE(notes.find("the extents of its kernel are not known"), std::string::npos);
}

}  // namespace
}  // namespace cameo::passes
