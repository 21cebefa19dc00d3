#include "tactics/tactic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "runtime/executor.h"

namespace cameo::tactics {
namespace {

constexpr float kSentinel = 12345.f;

Tensor random_tensor(const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::mt19937 random(seed);
  for (float& v : t.span<float>()) v = static_cast<float>(random() % 2001) / 1000.f - 1.f;
  return t;
}

// y = MatMul(a, b) with constant b, as a graph.
ir::Graph matmul_graph(const Dims& a, const Tensor& b) {
  ir::Graph graph;
  ir::Node node;
  node.op = ops::find_op("", "MatMul");
  node.version = 13;
  node.name = "matmul";
  node.attrs = node.op->make_attrs();
  graph.inputs = {graph.add_value("a", ir::Type::tensor(DType::kFloat32, ir::to_shape(a)))};
  node.inputs = {graph.inputs[0], graph.add_constant("b", b)};
  graph.outputs = {graph.add_value("y")};
  node.outputs = graph.outputs;
  graph.nodes.push_back(std::move(node));
  EXPECT_TRUE(ir::infer_types(graph).ok());
  return graph;
}

// Runs the graph into memory with sentinels around it.
std::vector<float> run(const ir::Graph& graph, const Tensor& a, size_t count) {
  std::vector<float> memory(count + 128, kSentinel);
  runtime::ExecutionState state(default_allocator());
  runtime::Executor executor(graph, state);
  const ops::RtValue input = ops::RtValue::of(a);
  const runtime::Executor::OutputBinding binding{memory.data() + 64, count * sizeof(float)};
  ops::RtValue output;
  const Status status = executor.run({&input, 1}, {&binding, 1}, {&output, 1});
  EXPECT_TRUE(status.ok()) << status.error().message();
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(memory[i], kSentinel) << "written before the output";
    EXPECT_EQ(memory[count + 64 + i], kSentinel) << "written after the output";
  }
  return {memory.begin() + 64, memory.begin() + 64 + static_cast<std::ptrdiff_t>(count)};
}

TEST(Tactics, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const Tactic* tactic : all_tactics()) {
    EXPECT_TRUE(names.insert(tactic->name).second) << tactic->name;
    EXPECT_EQ(find_tactic(tactic->name), tactic);
    EXPECT_NE(ops::find_op(tactic->domain, tactic->op), nullptr) << tactic->name << " is for an operator that does not exist";
  }
  EXPECT_EQ(find_tactic("no_such_tactic"), nullptr);
}

TEST(Tactics, MatmulTiledAgreesWithTheReference) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2";
  for (int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 33})
    for (int64_t columns : {1, 2, 15, 16, 17, 31, 32, 33, 64, 65})
      for (int64_t depth : {0, 1, 2, 7, 64, 129}) {
        const Tensor a = random_tensor({rows, depth}, 1), b = random_tensor({depth, columns}, 2);
        ir::Graph graph = matmul_graph(a.dims(), b);
        const auto want = run(graph, a, static_cast<size_t>(rows * columns));
        ASSERT_TRUE(select_tactics(graph).ok());
        ASSERT_EQ(graph.nodes[0].kernel, "matmul_f32_tiled");
        const auto got = run(graph, a, static_cast<size_t>(rows * columns));
        for (size_t i = 0; i < want.size(); ++i)
          ASSERT_NEAR(got[i], want[i], 1e-5 * static_cast<double>(depth + 1)) << rows << "x" << depth << "x" << columns << " at " << i;
      }
}

TEST(Tactics, MatmulTiledOfStacksAndSpecialValues) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2";
  Tensor a = random_tensor({3, 5, 8}, 1), b = random_tensor({8, 20}, 2);
  a.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  a.data<float>()[16] = std::numeric_limits<float>::infinity();
  ir::Graph graph = matmul_graph(a.dims(), b);
  const auto want = run(graph, a, 300);
  ASSERT_TRUE(select_tactics(graph).ok());
  const auto got = run(graph, a, 300);
  for (size_t i = 0; i < 300; ++i) {
    if (std::isfinite(want[i]))
      ASSERT_NEAR(got[i], want[i], 1e-4);
    else
      ASSERT_TRUE(std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i]) << "at " << i;
  }
  EXPECT_EQ(got.size(), run(graph, a, 300).size());
}

TEST(Tactics, WhatIsNotForThemKeepsTheReference) {
  ir::Graph graph = matmul_graph({4, 4}, random_tensor({2, 4, 4}, 1));
  ASSERT_TRUE(select_tactics(graph).ok());
  EXPECT_EQ(graph.nodes[0].kernel, "");
  // A plan that was altered names the tactic all the same: the reference runs.
  const Tensor a = random_tensor({4, 4}, 3);
  const auto want = run(graph, a, 32);
  graph.nodes[0].kernel = "matmul_f32_tiled";
  EXPECT_EQ(run(graph, a, 32), want);
}

}  // namespace
}  // namespace cameo::tactics
