#include "builder/io_types.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/numeric.h"
#include "ops/evaluate.h"
#include "passes/pass_test.h"

namespace cameo::builder {
namespace {

using passes::TestGraph;
using Types = std::map<std::string, DType>;

// y = x + x and its square root, z = x * n; both x and y are read again.
TestGraph network() {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {4}), n = g.input("n", DType::kInt64, {4});
  const auto y = g.node("Add", {x, x});
  g.output(y);
  g.output(g.node("Sqrt", {y}));
  g.output(g.node("Mul", {x, g.node("Cast", {n}, {{"to", int64_t{1}}})}));
  g.graph.value(g.graph.outputs[0]).name = "y";
  EXPECT_TRUE(ir::infer_types(g.graph).ok());
  return g;
}

std::vector<Tensor> run(const ir::Graph& graph, const std::vector<Tensor>& inputs) {
  std::vector<ops::RtValue> values;
  for (const Tensor& t : inputs) values.push_back(ops::RtValue::of(t));
  auto outputs = ops::evaluate_graph(graph, values);
  EXPECT_TRUE(outputs.ok()) << outputs.error().message();
  std::vector<Tensor> tensors;
  for (const auto& v : outputs.value()) tensors.push_back(v.tensor);
  return tensors;
}

TEST(IoTypes, ConvertsWhatIsNamedAndKeepsNames) {
  TestGraph g = network();
  ASSERT_TRUE(set_io_types(g.graph, {{"x", DType::kUint8}, {"n", DType::kInt32}}, {{"y", DType::kFloat16}}).ok());
  EXPECT_TRUE(ir::verify(g.graph).ok());
  EXPECT_EQ(g.graph.value(g.graph.inputs[0]).name, "x");
  EXPECT_EQ(g.graph.value(g.graph.inputs[0]).type.to_string(), "uint8[4]");
  EXPECT_EQ(g.graph.value(g.graph.inputs[1]).type.to_string(), "int32[4]");
  EXPECT_EQ(g.graph.value(g.graph.outputs[0]).type.to_string(), "float16[4]");
  EXPECT_EQ(g.graph.value(g.graph.outputs[1]).type.to_string(), "float32[4]");
  const auto out = run(g.graph, {Tensor::of<uint8_t>({4}, {0, 2, 8, 250}), Tensor::of<int32_t>({4}, {1, -1, 3, 2})});
  const auto want = run(network().graph, {Tensor::of<float>({4}, {0, 2, 8, 250}), Tensor::of<int64_t>({4}, {1, -1, 3, 2})});
  for (size_t i = 1; i < 3; ++i) EXPECT_EQ(0, std::memcmp(out[i].raw(), want[i].raw(), want[i].num_bytes()));
  const auto* halves = out[0].data<Float16>();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(static_cast<float>(halves[i]), want[0].data<float>()[i]);
}

TEST(IoTypes, AStarIsForFloatsAlone) {
  TestGraph g = network();
  ASSERT_TRUE(set_io_types(g.graph, {{"*", DType::kFloat16}}, {{"*", DType::kBfloat16}, {"y", DType::kFloat32}}).ok());
  EXPECT_EQ(g.graph.value(g.graph.inputs[0]).type.to_string(), "float16[4]");
  EXPECT_EQ(g.graph.value(g.graph.inputs[1]).type.to_string(), "int64[4]");
  EXPECT_EQ(g.graph.value(g.graph.outputs[0]).type.to_string(), "float32[4]");
  EXPECT_EQ(g.graph.value(g.graph.outputs[1]).type.to_string(), "bfloat16[4]");
}

TEST(IoTypes, RefusesWhatIsNotThere) {
  const auto message = [](const Types& inputs, const Types& outputs) {
    TestGraph g = network();
    const Status s = set_io_types(g.graph, inputs, outputs);
    return s.ok() ? "" : s.error().message();
  };
  EXPECT_NE(message({{"w", DType::kFloat16}}, {}).find("no input 'w' to give a type to; it has 'x', 'n'"), std::string::npos);
  EXPECT_NE(message({}, {{"w", DType::kFloat16}}).find("no output 'w'"), std::string::npos);
  EXPECT_NE(message({{"x", DType::kString}}, {}).find("input 'x' cannot be string"), std::string::npos);
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {4});
  g.output(x);
  ASSERT_TRUE(ir::infer_types(g.graph).ok());
  const Status s = set_io_types(g.graph, {}, {{"*", DType::kFloat16}});
  ASSERT_FALSE(s.ok());
  EXPECT_NE(s.error().message().find("output 'x' is an input"), std::string::npos);
}

}  // namespace
}  // namespace cameo::builder
