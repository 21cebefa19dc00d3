#include "passes/quantize_weights.h"

#include <cmath>
#include <random>

#include "base/thread_pool.h"
#include "passes/pass_test.h"

namespace cameo::passes {
namespace {

Tensor random_matrix(const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.1f);
  for (float& v : t.span<float>()) v = normal(random);
  return t;
}

// Runs both graphs on the same random inputs; the square root of the mean squared difference over that of the values.
double relative_difference(const ir::Graph& a, const ir::Graph& b) {
  std::vector<ops::RtValue> inputs;
  for (ir::ValueId id : a.inputs) inputs.push_back(ops::RtValue::of(random_matrix(*ir::to_dims(*a.value(id).type.shape), 9)));
  const auto x = ops::evaluate_graph(a, inputs), y = ops::evaluate_graph(b, inputs);
  EXPECT_TRUE(x.ok()) << x.error().message();
  EXPECT_TRUE(y.ok()) << y.error().message();
  if (!x.ok() || !y.ok()) return 1;
  double difference = 0, square = 0;
  for (size_t i = 0; i < x->size(); ++i) {
    const auto &p = (*x)[i].tensor, &q = (*y)[i].tensor;
    EXPECT_EQ(p.dims(), q.dims());
    for (int64_t j = 0; j < p.num_elements(); ++j) {
      difference += std::pow(p.data<float>()[j] - q.data<float>()[j], 2);
      square += std::pow(p.data<float>()[j], 2);
    }
  }
  return std::sqrt(difference / square);
}

struct Form {
  const char* name;
  WeightType type;
  int64_t group_size;
  double most;  // relative difference
};
const Form kForms[] = {{"int8", WeightType::kInt8, 0, 0.01},      {"int8 groups", WeightType::kInt8, 32, 0.008},
                       {"int4", WeightType::kInt4, 32, 0.1},      {"int4 128", WeightType::kInt4, 128, 0.12},
                       {"fp16", WeightType::kFloat16, 0, 0.0005}, {"bf16", WeightType::kBfloat16, 0, 0.004}};

TEST(QuantizeWeights, EveryWayToWriteAProduct) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {5, 96});
  const auto constant = [&](const Dims& dims, uint32_t seed) { return g.graph.add_constant("w", random_matrix(dims, seed)); };
  g.output(g.node("MatMul", {x, constant({96, 50}, 1)}));
  g.output(g.node("Gemm", {x, constant({50, 96}, 2), constant({50}, 3)}, {{"transB", int64_t{1}}, {"alpha", 0.5f}, {"beta", 2.f}}));
  g.output(g.node("Gemm", {x, constant({96, 50}, 4), constant({5, 1}, 5)}));
  g.output(g.node("Gemm", {x, constant({96, 50}, 4)}, {{"alpha", 3.f}}));
  ir::Node fused;
  fused.op = ops::find_op("ai.cameo", "MatMul");
  fused.version = 1;
  fused.name = "fused";
  fused.attrs =
      make_attrs(*fused.op,
                 {{"trans_b", int64_t{1}}, {"program", std::vector<int64_t>{0, 0, 1, 0}}, {"splits", std::vector<int64_t>{20, 30}}})
          .value();
  fused.inputs = {x, constant({50, 96}, 6), constant({1, 50}, 7)};
  fused.outputs = {g.graph.add_value("left"), g.graph.add_value("right")};
  g.output(fused.outputs[0]);
  g.output(fused.outputs[1]);
  g.graph.nodes.push_back(fused);
  for (const Form& form : kForms) {
    ir::Graph graph = g.graph;
    PassReport report;
    const Status status = quantize_weights(
        graph, [&](const ir::Node&) { return form.type; }, form.group_size, report);
    ASSERT_TRUE(status.ok()) << status.error().message();
    EXPECT_EQ(report.changes, 5) << form.name;
    EXPECT_EQ(count(graph, "QuantizedWeightMatMul"), 5u);
    ASSERT_TRUE(ir::verify(graph).ok());
    EXPECT_LT(relative_difference(g.graph, graph), form.most) << form.name;
  }
}

TEST(QuantizeWeights, WhatItLeavesAlone) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {96, 96});
  const auto w = g.graph.add_constant("w", random_matrix({96, 96}, 1));
  g.output(g.node("MatMul", {w, x}));
  g.output(g.node("Gemm", {x, w}, {{"transA", int64_t{1}}}));
  g.output(g.node("MatMul", {x, g.graph.add_constant("small", random_matrix({96, 8}, 1))}));
  Tensor bad = random_matrix({96, 96}, 2);
  bad.data<float>()[77] = std::numeric_limits<float>::infinity();
  g.output(g.node("MatMul", {x, g.graph.add_constant("bad", bad)}));
  g.output(g.node("MatMul", {x, g.graph.add_constant("kept", random_matrix({96, 96}, 3))}));
  const std::string kept = g.graph.nodes.back().name;
  PassReport report;
  ir::Graph graph = g.graph;
  ASSERT_TRUE(quantize_weights(
                  graph, [&](const ir::Node& node) { return node.name == kept ? WeightType::kFloat32 : WeightType::kInt8; }, 0, report)
                  .ok());
  EXPECT_EQ(report.changes, 0);
  ASSERT_EQ(report.notes.size(), 4u);
  EXPECT_NE(report.notes[0].find("no constant"), std::string::npos);
  EXPECT_NE(report.notes[1].find("transposed"), std::string::npos);
  EXPECT_NE(report.notes[2].find("too small"), std::string::npos);
  EXPECT_NE(report.notes[3].find("infinity"), std::string::npos);
  EXPECT_FALSE(quantize_weights(
                   graph, [](const ir::Node&) { return WeightType::kInt8; }, 20, report)
                   .ok());
}

TEST(QuantizeWeights, ExtremesOfWeights) {
  ThreadPool threads(1);
  std::vector<float> tiny(64 * 16, 1e-30f), large(64 * 16, 1e30f), zero(64 * 16, 0.f);
  for (auto* values : {&tiny, &large, &zero})
    for (WeightType type : {WeightType::kInt4, WeightType::kInt8}) {
      const auto weight = quantize_weight({values->data(), 64, 16, 16, 1}, type, 32, threads);
      ASSERT_TRUE(weight.ok());
      for (int64_t r = 0; r < 64; ++r)
        EXPECT_NEAR(ops::dequantized(weight->attrs, weight->tensors, r, 3), (*values)[0], 0.01 * (*values)[0]);
    }
  EXPECT_FALSE(quantize_weight({large.data(), 64, 16, 16, 1}, WeightType::kFloat16, 0, threads).ok());
  EXPECT_TRUE(quantize_weight({large.data(), 64, 16, 16, 1}, WeightType::kBfloat16, 0, threads).ok());
}

}  // namespace
}  // namespace cameo::passes
