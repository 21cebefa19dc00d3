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

TEST(Tactics, SelectionPacksConstantsAndElidesThem) {
  const Tensor a = random_tensor({3, 5, 8}, 1);
  ir::Graph graph = matmul_graph(a.dims(), random_tensor({8, 20}, 2));
  const auto want = run(graph, a, 300);
  ASSERT_TRUE(select_tactics(graph).ok());
  EXPECT_EQ(graph.nodes[0].kernel, "matmul_f32_packed");
  EXPECT_EQ(graph.nodes[0].packed.size(), 1u);
  EXPECT_TRUE(graph.value(graph.nodes[0].inputs[1]).elided);
  const auto got = run(graph, a, 300);
  for (size_t i = 0; i < 300; ++i) EXPECT_NEAR(got[i], want[i], 1e-5) << "at " << i;
}

}  // namespace
}  // namespace cameo::tactics
