// Quantised models as other tools write them: QuantizeLinear and DequantizeLinear around everything.
#include "passes/lower_quantized.h"

#include <cmath>
#include <random>

#include "base/numeric.h"
#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

class QuantizedGraph : public TestGraph {
 public:
  ir::ValueId byte(DType type, int value) {
    return type == DType::kUint8 ? constant<uint8_t>({}, {static_cast<uint8_t>(value)})
                                 : constant<int8_t>({}, {static_cast<int8_t>(value)});
  }
  ir::ValueId quantize(ir::ValueId x, float scale, int zero, DType type = DType::kUint8) {
    return node("QuantizeLinear", {x, scalar(scale), byte(type, zero)});
  }
  // Rounded to bytes and back.
  ir::ValueId pair(ir::ValueId x, float scale, int zero, DType type = DType::kUint8) {
    return node("DequantizeLinear", {quantize(x, scale, zero, type), scalar(scale), byte(type, zero)});
  }
  Tensor codes(DType type, const Dims& dims, uint32_t seed) {
    Tensor t = Tensor::allocate(type, dims).value();
    std::mt19937 random(seed);
    const int range = type == DType::kInt4 || type == DType::kUint4 ? 16 : 256;
    const int low = type == DType::kInt8 || type == DType::kInt4 ? -range / 2 : 0;
    for (int64_t i = 0; i < t.num_elements(); ++i)
      t.data<uint8_t>()[i] = static_cast<uint8_t>(static_cast<int>(random() % static_cast<unsigned>(range)) + low);
    return t;
  }
  ir::ValueId scales(int64_t count, float scale) {
    Tensor t = Tensor::allocate(DType::kFloat32, {count}).value();
    for (int64_t i = 0; i < count; ++i) t.data<float>()[i] = scale * static_cast<float>(1 + i % 3);
    return graph.add_constant("scale", t);
  }
  // An int8 weight with a scale a channel of `axis`.
  ir::ValueId weight(const Dims& dims, int64_t axis, uint32_t seed) {
    return node("DequantizeLinear",
                {graph.add_constant("w", codes(DType::kInt8, dims, seed)), scales(dims[static_cast<size_t>(axis)], 0.002f)},
                {{"axis", axis}});
  }
  ir::ValueId int32_bias(int64_t n) {
    Tensor t = Tensor::allocate(DType::kInt32, {n}).value();
    for (int64_t i = 0; i < n; ++i) t.data<int32_t>()[i] = static_cast<int32_t>(i * 100 - 500);
    return node("DequantizeLinear", {graph.add_constant("bias", t), scales(n, 0.0005f)}, {{"axis", int64_t{0}}});
  }
};

ir::Graph lowered(const ir::Graph& graph, PassReport* report = nullptr) {
  ir::Graph result = graph;
  std::vector<PassReport> reports;
  const Status status = run_passes(result, {.verify = true}, reports);
  EXPECT_TRUE(status.ok()) << status.error().message();
  PassReport own;
  const Status low = lower_quantized(result, own);
  EXPECT_TRUE(low.ok()) << low.error().message();
  EXPECT_TRUE(ir::verify(result).ok());
  if (report) *report = own;
  return result;
}

// The square root of the mean squared difference of the outputs over that of the values.
double relative_difference(const ir::Graph& a, const ir::Graph& b) {
  std::vector<ops::RtValue> inputs;
  std::mt19937 random(2);
  for (ir::ValueId id : a.inputs) {
    Tensor t = Tensor::allocate(DType::kFloat32, *ir::to_dims(*a.value(id).type.shape)).value();
    for (float& v : t.span<float>()) v = static_cast<float>(random() % 2001) / 1000.f - 1.f;
    inputs.push_back(ops::RtValue::of(t));
  }
  const auto x = ops::evaluate_graph(a, inputs), y = ops::evaluate_graph(b, inputs);
  EXPECT_TRUE(x.ok()) << x.error().message();
  EXPECT_TRUE(y.ok()) << y.error().message();
  if (!x.ok() || !y.ok()) return 1;
  double difference = 0, square = 0;
  for (size_t i = 0; i < x->size(); ++i)
    for (int64_t j = 0; j < (*x)[i].tensor.num_elements(); ++j) {
      difference += std::pow((*x)[i].tensor.data<float>()[j] - (*y)[i].tensor.data<float>()[j], 2);
      square += std::pow((*x)[i].tensor.data<float>()[j], 2);
    }
  return std::sqrt(difference / square);
}

TEST(LowerQuantized, ConvolutionsWithResidual) {
  for (DType type : {DType::kUint8, DType::kInt8}) {
    QuantizedGraph g;
    const auto x = g.input("x", DType::kFloat32, {1, 8, 6, 5});
    const int zero = type == DType::kUint8 ? 128 : 0, low = type == DType::kUint8 ? 0 : -128;
    const auto start = g.pair(x, 1 / 127.f, zero, type);
    const auto first =
        g.node("Relu",
               {g.pair(g.node("Conv", {start, g.weight({8, 8, 3, 3}, 0, 1), g.int32_bias(8)}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}),
                       0.05f, zero, type)});
    const auto second = g.node("Conv", {g.pair(first, 0.02f, low, type), g.weight({8, 8, 1, 1}, 0, 2), g.int32_bias(8)});
    const auto sum = g.node("Relu", {g.pair(g.node("Add", {g.pair(second, 0.05f, zero, type), start}), 0.05f, zero, type)});
    const auto last = g.node("Conv", {g.pair(sum, 0.03f, low, type), g.weight({8, 1, 3, 3}, 0, 3)}, {{"group", int64_t{8}}});
    g.output(g.pair(last, 0.05f, zero, type));
    const ir::Graph graph = lowered(g.graph);
    EXPECT_EQ(count(graph, "QuantizedConv"), 3u) << ops_of(graph);
    EXPECT_EQ(count(graph, "Conv"), 0u);
    EXPECT_EQ(count(graph, "Relu") + count(graph, "Add"), 0u) << ops_of(graph);
    EXPECT_EQ(count(graph, "QuantizeLinear"), 1u);
    EXPECT_LT(relative_difference(g.graph, graph), 0.1);
  }
}

TEST(LowerQuantized, ProductsOfATransformer) {
  QuantizedGraph g;
  const auto x = g.input("x", DType::kFloat32, {3, 20});
  const auto in = g.pair(x, 1 / 127.f, 128);
  const auto bias = g.node("DequantizeLinear", {g.graph.add_constant("b", g.codes(DType::kInt8, {24}, 4)), g.scalar(0.001f)});
  const auto hidden = g.node(
      "Gelu", {g.pair(g.node("Add", {g.pair(g.node("MatMul", {in, g.weight({20, 24}, 1, 1)}), 0.05f, 128), bias}), 0.05f, 128)}, {}, 20);
  const auto out = g.node("Gemm", {g.pair(hidden, 0.02f, 10), g.weight({20, 24}, 0, 2), g.int32_bias(20)}, {{"transB", int64_t{1}}});
  g.output(g.node("Add", {g.pair(out, 0.2f, 128), in}));
  const ir::Graph graph = lowered(g.graph);
  EXPECT_EQ(count(graph, "QuantizedMatMul"), 2u) << ops_of(graph);
  EXPECT_EQ(ops_of(graph), "QuantizeLinear, QuantizedMatMul, QuantizedMatMul");
  EXPECT_LT(relative_difference(g.graph, graph), 0.1);
}

TEST(LowerQuantized, PairsThatNothingNeedsGo) {
  QuantizedGraph g;
  const auto x = g.input("x", DType::kFloat32, {3, 20});
  g.output(g.pair(g.node("Softmax", {g.pair(g.node("Neg", {g.pair(x, 0.01f, 128)}), 0.01f, 128)}), 1 / 255.f, 0));
  const ir::Graph graph = lowered(g.graph);
  EXPECT_EQ(count(graph, "DequantizeLinear"), 0u) << ops_of(graph);
  // Pairs with two scales are no pairs.
  QuantizedGraph other;
  const auto y = other.input("x", DType::kFloat32, {3});
  other.output(other.node("DequantizeLinear", {other.quantize(y, 0.01f, 128), other.scalar(0.02f), other.byte(DType::kUint8, 128)}));
  EXPECT_EQ(count(lowered(other.graph), "DequantizeLinear"), 1u);
}

TEST(LowerQuantized, WeightsAlone) {
  struct Case {
    DType type;
    int64_t block;
    bool trans, zeros;
  };
  for (const Case& c : {Case{DType::kInt8, 0, false, false}, Case{DType::kUint8, 0, true, true}, Case{DType::kInt4, 16, false, false},
                        Case{DType::kUint4, 32, true, true}, Case{DType::kInt8, 16, false, true}}) {
    QuantizedGraph g;
    const auto x = g.input("x", DType::kFloat32, {3, 72});
    const int64_t k = 72, n = 50;
    const Dims dims = c.trans ? Dims{n, k} : Dims{k, n};
    const int64_t depth_axis = c.trans ? 1 : 0, blocks = c.block == 0 ? 1 : (k + c.block - 1) / c.block;
    const Dims scale_dims = c.block == 0 ? Dims{n} : c.trans ? Dims{n, blocks} : Dims{blocks, n};
    Tensor scale = Tensor::allocate(DType::kFloat32, scale_dims).value();
    for (int64_t i = 0; i < scale.num_elements(); ++i) scale.data<float>()[i] = 0.01f * static_cast<float>(1 + i % 5);
    std::vector<ir::ValueId> inputs = {g.graph.add_constant("w", g.codes(c.type, dims, 7)), g.graph.add_constant("s", scale)};
    if (c.zeros) inputs.push_back(g.graph.add_constant("z", g.codes(c.type, scale_dims, 8)));
    ir::ValueId w = g.node("DequantizeLinear", inputs, {{"axis", c.block == 0 ? 1 - depth_axis : depth_axis}, {"block_size", c.block}});
    if (c.trans) w = g.node("Transpose", {w});
    g.output(g.node("MatMul", {x, w}));
    const ir::Graph graph = lowered(g.graph);
    EXPECT_EQ(ops_of(graph), "QuantizedWeightMatMul") << dtype_name(c.type);
    EXPECT_LT(relative_difference(g.graph, graph), 1e-5) << dtype_name(c.type);
  }
}

TEST(LowerQuantized, MatMulNBits) {
  for (int64_t bits : {4, 8})
    for (int64_t block : {16, 32, 256})
      for (bool zeros : {false, true})
        for (bool bias : {false, true}) {
          QuantizedGraph g;
          const int64_t k = 70, n = 19, blocks = (k + block - 1) / block;
          const auto x = g.input("x", DType::kFloat32, {2, 3, k});
          Tensor scale = Tensor::allocate(DType::kFloat32, {n * blocks}).value();
          for (int64_t i = 0; i < scale.num_elements(); ++i) scale.data<float>()[i] = 0.01f * static_cast<float>(1 + i % 5);
          ir::Node node;
          node.op = ops::find_op("com.microsoft", "MatMulNBits");
          node.version = 1;
          node.name = "n_bits";
          node.attrs = make_attrs(*node.op, {{"K", k}, {"N", n}, {"bits", bits}, {"block_size", block}}).value();
          node.inputs = {x,
                         g.graph.add_constant("b", g.codes(DType::kUint8, {n, blocks, block * bits / 8}, 1)),
                         g.graph.add_constant("s", scale),
                         ir::kNoValue,
                         ir::kNoValue,
                         ir::kNoValue};
          if (zeros) node.inputs[3] = g.graph.add_constant("z", g.codes(DType::kUint8, {n * ((blocks * bits + 7) / 8)}, 2));
          if (bias) node.inputs[5] = g.scales(n, 0.3f);
          while (node.inputs.back() == ir::kNoValue) node.inputs.pop_back();
          node.outputs = {g.graph.add_value("y", {})};
          g.output(node.outputs[0]);
          g.graph.nodes.push_back(std::move(node));
          const ir::Graph graph = lowered(g.graph);
          EXPECT_EQ(ops_of(graph), "QuantizedWeightMatMul") << bits << " " << block;
          EXPECT_LT(relative_difference(g.graph, graph), 1e-5) << bits << " " << block << " " << zeros << bias;
        }
}

TEST(LowerQuantized, WhatCannotBeLoweredBecomesFloat) {
  QuantizedGraph g;
  const auto x = g.input("x", DType::kFloat32, {1, 4, 5, 5});
  // Groups that are not depthwise.
  g.output(g.node("Conv", {g.pair(x, 0.01f, 128), g.weight({4, 2, 3, 3}, 0, 1)}, {{"group", int64_t{2}}}));
  PassReport report;
  const ir::Graph graph = lowered(g.graph, &report);
  EXPECT_EQ(count(graph, "QuantizedConv"), 0u);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("groups"), std::string::npos);
  EXPECT_LT(relative_difference(g.graph, graph), 1e-5);
}

}  // namespace
}  // namespace cameo::passes
