#include "builder/batch_rows.h"

#include <gtest/gtest.h>

#include <numeric>

#include "ops/cameo_quantized.h"
#include "passes/pass_test.h"
#include "runtime/batch_run.h"

namespace cameo::builder {
namespace {

using ir::Dim;
using passes::TestGraph;

const Dim kBatch = Dim::symbol("batch"), kLength = Dim::symbol("length");

std::string reason(TestGraph& g) {
  EXPECT_TRUE(ir::infer_types(g.graph).ok());
  const auto batch = independent_batch(g.graph);
  return batch.ok() ? "symbol " + *batch : batch.error().message();
}

// Convolution, pointwise operators, pooling, and a matrix product.
TestGraph network() {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {kBatch, 2, 4, 4});
  const auto w = g.constant<float>({2, 2, 1, 1}, {1, -2, 3, 0.5f});
  const auto conv = g.node("Conv", {x, w});
  const auto sum = g.node("Add", {g.node("Relu", {conv}), x});
  const auto mean = g.node("GlobalAveragePool", {sum});
  const auto rows = g.node("Flatten", {mean});
  g.output(g.node("Softmax", {g.node("MatMul", {rows, g.constant<float>({2, 3}, {1, 2, 3, 4, 5, 6})})}));
  return g;
}

TEST(BatchRows, FoundThroughANetwork) {
  TestGraph g = network();
  EXPECT_EQ(reason(g), "symbol batch");
}

TEST(BatchRows, FoundThroughAttentionAndHeadsInTheFirstAxis) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {kBatch, kLength, 8});
  const auto heads = g.node("Transpose", {g.node("Reshape", {x, g.ints({0, 0, 2, 4})})}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  const auto flat = g.node("Reshape", {heads, g.ints({-1, 4, 2})});  // [batch * length, 4, 2]
  const auto scores = g.node("MatMul", {flat, g.node("Transpose", {flat}, {{"perm", std::vector<int64_t>{0, 2, 1}}})});
  g.output(g.node("Softmax", {scores}));
  EXPECT_EQ(reason(g), "symbol batch");
}

TEST(BatchRows, RefusedWhereRowsMeet) {
  const auto with = [](auto&& make) {
    TestGraph g;
    const auto x = g.input("x", DType::kFloat32, {kBatch, 4});
    g.output(make(g, x));
    return reason(g);
  };
  // Every batch has its own numbers here, though extents look like those of rows.
  EXPECT_NE(with([](TestGraph& g, ir::ValueId x) {
              return g.node("Softmax", {x}, {{"axis", int64_t{0}}});
            }).find("keep the rows"),
            std::string::npos);
  EXPECT_NE(with([](TestGraph& g, ir::ValueId x) {
              const auto mean = g.node("ReduceMean", {x, g.ints({0})});
              return g.node("Sub", {x, mean});
            }).find("'ReduceMean"),
            std::string::npos);
  EXPECT_NE(with([](TestGraph& g, ir::ValueId x) {
              return g.node("MatMul", {g.node("MatMul", {x, g.node("Transpose", {x})}), x});
            }).find("Transpose"),
            std::string::npos);
  EXPECT_NE(with([](TestGraph& g, ir::ValueId x) {
              const auto size = g.node("Cast", {g.node("Shape", {x})}, {{"to", int64_t{1}}});
              return g.node("Mul", {x, g.node("Gather", {size, g.constant<int64_t>({}, {0})})});
            }).find("Mul"),
            std::string::npos);
  EXPECT_NE(with([](TestGraph& g, ir::ValueId x) {
              return g.node("CumSum", {x, g.constant<int64_t>({}, {0})});
            }).find("CumSum"),
            std::string::npos);
  EXPECT_NE(with([](TestGraph& g, ir::ValueId x) { return g.node("Transpose", {x}); }).find("first axis"), std::string::npos);
  // The length is not the batch: a shape that only reads it is no obstacle.
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {kBatch, kLength});
  const auto length = g.node("Gather", {g.node("Shape", {x}), g.constant<int64_t>({}, {1})});
  g.output(g.node("Mul", {x, g.node("Cast", {length}, {{"to", int64_t{1}}})}));
  EXPECT_EQ(reason(g), "symbol batch");
}

// Packed weights have other extents than matrices.
TEST(BatchRows, FoundThroughAProductOfBytes) {
  TestGraph g;
  auto attrs = std::make_shared<ops::CameoQuantizedMatMulAttrs>();
  attrs->n = 3;
  attrs->k = 4;
  ir::Node node;
  node.op = ops::find_op("ai.cameo", "QuantizedMatMul");
  node.version = 1;
  node.name = "product";
  node.attrs = std::move(attrs);
  node.inputs = {g.input("x", DType::kUint8, {kBatch, 4}), g.graph.add_constant("w", Tensor::allocate(DType::kInt8, {1, 1, 16, 4}).value()),
                 g.constant<float>({3}, {1, 1, 1})};
  node.outputs = {g.graph.add_value("y")};
  g.graph.nodes.push_back(std::move(node));
  g.output(g.graph.nodes.back().outputs[0]);
  EXPECT_EQ(reason(g), "symbol batch");
}

TEST(BatchRows, RefusedWithoutASymbol) {
  TestGraph g;
  g.output(g.node("Relu", {g.input("x", DType::kFloat32, {2, 4})}));
  EXPECT_NE(reason(g).find("no input has a symbol"), std::string::npos);
}

// Parts of a batch give the bits of the whole, in memory of the caller or of the run, for parts that do not divide the batch.
TEST(BatchRun, GivesWhatTheWholeGives) {
  TestGraph g = network();
  ASSERT_TRUE(ir::infer_types(g.graph).ok());
  for (const int64_t batch : {1, 2, 5, 8}) {
    Tensor x = Tensor::allocate(DType::kFloat32, {batch, 2, 4, 4}).value();
    for (int64_t i = 0; i < x.num_elements(); ++i) x.data<float>()[i] = static_cast<float>(i * 37 % 101) / 50.f - 1;
    const std::vector<ops::RtValue> inputs = {ops::RtValue::of(x)};
    runtime::ExecutionState state(default_allocator());
    runtime::Executor executor(g.graph, state), other(g.graph, state);
    std::vector<ops::RtValue> whole(1), parts(1);
    ASSERT_TRUE(other.run(inputs, {}, whole).ok());
    // Room for two rows: the arena of one is 3 tensors of 32 floats.
    runtime::BatchRun run(g.graph, "batch", 0, executor, default_allocator(), /*cache=*/1400);
    std::vector<float> memory(static_cast<size_t>(batch) * 3);
    for (const bool own : {true, false}) {
      const runtime::Executor::OutputBinding binding = {own ? nullptr : memory.data(), own ? 0 : memory.size() * sizeof(float)};
      ASSERT_TRUE(run.run(inputs, {&binding, 1}, parts).ok());
      ASSERT_EQ(parts[0].tensor.dims(), whole[0].tensor.dims());
      EXPECT_EQ(std::memcmp(parts[0].tensor.raw(), whole[0].tensor.raw(), whole[0].tensor.num_bytes()), 0);
      EXPECT_EQ(!own, parts[0].tensor.raw() == memory.data());
    }
    std::vector<ops::Fact> facts = {ops::Fact::of(ir::Type::tensor(DType::kFloat32, {batch, 2, 4, 4}))};
    const auto used = run.specialization_used(facts);
    ASSERT_TRUE(used.ok());
    EXPECT_LT((*used)->facts[g.graph.inputs[0]].type.shape->front().value(), std::max<int64_t>(batch, 3)) << batch;
    if (batch < 2) continue;
    const runtime::Executor::OutputBinding small = {memory.data(), 4};
    const Status status = run.run(inputs, {&small, 1}, parts);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message().find("takes"), std::string::npos);
  }
}

}  // namespace
}  // namespace cameo::builder
