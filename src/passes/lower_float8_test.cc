#include "passes/lower_float8.h"

#include <cmath>

#include "ops/cameo_float8_conv.h"
#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

// Two products with Gelu between them, whose values were all seen: each is rounded once, by the products where they can.
TEST(LowerFloat8, ProductsRoundForEachOther) {
  TestGraph g;
  const ir::ValueId x = g.input("x", DType::kFloat32, {5, 32});
  const auto weight = [&](int64_t k, int64_t n) {
    Tensor t = Tensor::allocate(DType::kFloat32, {k, n}).value();
    for (int64_t i = 0; i < k * n; ++i) t.data<float>()[i] = static_cast<float>(i % 7) - 3.f;
    return g.graph.add_constant("w", t);
  };
  const ir::ValueId gelu = g.node("Gelu", {g.node("MatMul", {x, weight(32, 48)})});
  g.output(g.node("MatMul", {gelu, weight(48, 16)}));
  ir::Graph graph = g.graph;
  std::vector<PassReport> reports;
  ASSERT_TRUE(run_passes(graph, {.verify = true}, reports).ok());
  std::map<std::string, ValueRange> ranges;
  for (const ir::Value& v : graph.values) ranges[v.name] = {-224, 224};
  const ir::Graph before = graph;
  PassReport report;
  const Status status = lower_float8(
      graph, ranges, [](const ir::Node&) { return true; }, report);
  ASSERT_TRUE(status.ok()) << status.error().message();
  int products = 0, roundings = 0;
  for (const ir::Node& node : graph.nodes) {
    roundings += node.op->name == "QuantizeLinear";
    if (node.op->name != "Float8MatMul") continue;
    const auto& attrs = node.attrs_as<ops::CameoFloat8MatMulAttrs>();
    EXPECT_FLOAT_EQ(attrs.x_scale, 0.5f);
    if (++products == 1) {
      EXPECT_EQ(graph.value(node.outputs[0]).type.dtype, DType::kFloat8E4M3FN);
    }
  }
  EXPECT_EQ(products, 2);
  EXPECT_EQ(roundings, 1);
  // Codes have four bits.
  Tensor in = Tensor::allocate(DType::kFloat32, {5, 32}).value();
  for (int64_t i = 0; i < in.num_elements(); ++i) in.data<float>()[i] = static_cast<float>(i * 37 % 101) / 50.f - 1.f;
  const std::vector<ops::RtValue> inputs = {ops::RtValue::of(in)};
  const auto want = ops::evaluate_graph(before, inputs), got = ops::evaluate_graph(graph, inputs);
  ASSERT_TRUE(want.ok() && got.ok());
  float most = 0, off = 0;
  for (int64_t i = 0; i < want->at(0).tensor.num_elements(); ++i) {
    const float w = want->at(0).tensor.data<float>()[i];
    most = std::max(most, std::fabs(w));
    off = std::max(off, std::fabs(got->at(0).tensor.data<float>()[i] - w));
  }
  EXPECT_LT(off, 0.1f * most);
}

// A residual block: its first value is rounded once, for the convolution and as bytes for the sum.
TEST(LowerFloat8, ConvolutionsRoundForEachOther) {
  TestGraph g;
  const ir::ValueId x = g.input("x", DType::kFloat32, {2, 16, 6, 5});
  const auto conv = [&](ir::ValueId from, int64_t kernel) {
    Tensor t = Tensor::allocate(DType::kFloat32, {16, 16, kernel, kernel}).value();
    for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = static_cast<float>(i * 31 % 13 - 6) / 24.f;
    return g.node("Conv", {from, g.graph.add_constant("w", t)}, {{"pads", std::vector<int64_t>(4, kernel / 2)}});
  };
  const ir::ValueId first = g.node("Relu", {conv(x, 3)});
  const ir::ValueId second = g.node("Relu", {conv(first, 1)});
  g.output(g.node("Relu", {g.node("Add", {conv(second, 3), first})}));
  ir::Graph graph = g.graph;
  std::vector<PassReport> reports;
  ASSERT_TRUE(run_passes(graph, {.verify = true}, reports).ok());
  std::map<std::string, ValueRange> ranges;
  for (const ir::Value& v : graph.values) ranges[v.name] = {0, 44.8f};
  const ir::Graph before = graph;
  PassReport report;
  const Status status = lower_float8(
      graph, ranges, [](const ir::Node&) { return true; }, report);
  ASSERT_TRUE(status.ok()) << status.error().message();
  int convolutions = 0, roundings = 0, codes = 0, addends = 0;
  for (const ir::Node& node : graph.nodes) {
    roundings += node.op->name == "QuantizeLinear";
    if (node.op->name != "Float8Conv") continue;
    const auto& attrs = node.attrs_as<ops::CameoFloat8ConvAttrs>();
    ++convolutions;
    codes += graph.value(node.outputs[0]).type.dtype == DType::kFloat8E4M3FN;
    for (float scale : attrs.operand_scales) addends += scale != 0;
  }
  EXPECT_EQ(convolutions, 3);
  EXPECT_EQ(roundings, 1);
  EXPECT_EQ(codes, 2);
  EXPECT_EQ(addends, 1);
  Tensor in = Tensor::allocate(DType::kFloat32, {2, 16, 6, 5}).value();
  for (int64_t i = 0; i < in.num_elements(); ++i) in.data<float>()[i] = static_cast<float>(i * 37 % 101) / 50.f - 1.f;
  const std::vector<ops::RtValue> inputs = {ops::RtValue::of(in)};
  const auto want = ops::evaluate_graph(before, inputs), got = ops::evaluate_graph(graph, inputs);
  ASSERT_TRUE(want.ok() && got.ok());
  float most = 0, off = 0;
  for (int64_t i = 0; i < want->at(0).tensor.num_elements(); ++i) {
    const float w = want->at(0).tensor.data<float>()[i];
    most = std::max(most, std::fabs(w));
    off = std::max(off, std::fabs(got->at(0).tensor.data<float>()[i] - w));
  }
  EXPECT_LT(off, 0.1f * most);
}

}  // namespace
}  // namespace cameo::passes
