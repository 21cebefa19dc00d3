#include "builder/tune.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backends/cpu/simd/isa.h"
#include "ops/op.h"
#include "runtime/specialization.h"

namespace cameo::builder {
namespace {

Tensor filled(const Dims& dims) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  for (int64_t i = 0; i < t.num_elements(); ++i) t.data<float>()[i] = static_cast<float>(i % 7) - 3;
  return t;
}

// y = Softmax(MatMul(a, b)), a: [rows, 64] with open rows, b constant.
ir::Graph model(int64_t columns = 48) {
  ir::Graph graph;
  graph.inputs = {graph.add_value("a", ir::Type::tensor(DType::kFloat32, {ir::Dim::symbol("rows"), 64}))};
  const ir::ValueId b = graph.add_constant("b", filled({64, columns})), product = graph.add_value("product"), y = graph.add_value("y");
  const auto add = [&](const char* op, std::vector<ir::ValueId> inputs, ir::ValueId output) {
    ir::Node node;
    node.op = ops::find_op("", op);
    node.version = 13;
    node.name = op;
    node.attrs = node.op->make_attrs();
    node.inputs = std::move(inputs);
    node.outputs = {output};
    graph.nodes.push_back(std::move(node));
  };
  add("MatMul", {graph.inputs[0], b}, product);
  add("Softmax", {product}, y);
  graph.outputs = {y};
  EXPECT_TRUE(ir::infer_types(graph).ok());
  return graph;
}

const std::vector<Profile> kProfiles = {{{{"a", {1, 64}, {16, 64}, {32, 64}}}}};

TEST(Tune, MeasuresOnceAndThenReadsTheCache) {
  if (cpu::current_isa() == cpu::Isa::kPortable) GTEST_SKIP() << "no vector instructions, no second candidate";
  TimingCache cache;
  ir::Graph first = model();
  std::vector<std::string> stages;
  const TuneOptions options = {.level = 3, .threads = 1, .progress = [&](const std::string& what, double) {
                                 stages.push_back(what);
                                 return Status();
                               }};
  ASSERT_TRUE(choose_tactics(first, kProfiles, options, cache).ok());
  EXPECT_TRUE(cache.changed());
  EXPECT_EQ(stages.size(), 2u);
  EXPECT_NE(stages[0].find("MatMul (1 of 2)"), std::string::npos);
  const ir::Node& matmul = first.nodes[0];
  ASSERT_FALSE(matmul.trials.empty());
  EXPECT_GT(matmul.trials[0].microseconds, 0);
  EXPECT_TRUE(std::is_sorted(matmul.trials.begin(), matmul.trials.end(), [](const auto& a, const auto& b) {
    return a.microseconds >= 0 && (b.microseconds < 0 || a.microseconds < b.microseconds);
  }));
  // The same again from the cache alone.
  ir::Graph second = model();
  ASSERT_TRUE(choose_tactics(second, kProfiles, {.level = 3, .threads = 1, .error_on_miss = true}, cache).ok());
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(first.nodes[i].kernel, second.nodes[i].kernel);
    ASSERT_EQ(first.nodes[i].trials.size(), second.nodes[i].trials.size());
    for (size_t k = 0; k < first.nodes[i].trials.size(); ++k)
      EXPECT_EQ(first.nodes[i].trials[k].microseconds, second.nodes[i].trials[k].microseconds);
  }
}

TEST(Tune, WeightsBeyondTheCacheAreMeasuredCold) {
  if (cpu::current_isa() == cpu::Isa::kPortable) GTEST_SKIP() << "no vector instructions, no second candidate";
  for (int64_t columns : {48, 140000}) {
    ir::Graph graph = model(columns);
    TimingCache cache;
    ASSERT_TRUE(choose_tactics(graph, kProfiles, {.level = 1, .threads = 1}, cache).ok());
    EXPECT_NE(graph.nodes[0].kernel, "");
    const auto fastest = cache.fastest(machine_name(1));
    const auto cold = std::count_if(fastest.begin(), fastest.end(),
                                    [](const auto& known) { return known.first.find("constant, cold") != std::string::npos; });
    EXPECT_EQ(cold, columns == 48 ? 0 : 1);
  }
}

TEST(Tune, TheFastestByTheCacheIsTaken) {
  if (cpu::current_isa() == cpu::Isa::kPortable) GTEST_SKIP() << "no vector instructions, no second candidate";
  TimingCache measured;
  ir::Graph graph = model();
  ASSERT_TRUE(choose_tactics(graph, kProfiles, {.level = 3, .threads = 1}, measured).ok());
  const std::string fastest = graph.nodes[0].kernel;
  ASSERT_NE(fastest, "");
  // A cache that says otherwise is believed: times decide, not the order.
  const std::string problem = "MatMul-13(float32[16, 64], float32[64, 48] constant) 1 outputs";
  ASSERT_NE(measured.find(machine_name(1), problem), nullptr);
  measured.add(machine_name(1), problem, "reference", 0.01f);
  graph = model();
  ASSERT_TRUE(choose_tactics(graph, kProfiles, {.level = 3, .threads = 1}, measured).ok());
  EXPECT_EQ(graph.nodes[0].kernel, "");
  // A tactic that failed its check is never taken, however fast.
  measured.add(machine_name(1), problem, "reference", 1000);
  for (const auto& [name, time] : TimingCache::Times(*measured.find(machine_name(1), problem)))
    if (name != "reference") measured.add(machine_name(1), problem, name, -1);
  graph = model();
  ASSERT_TRUE(choose_tactics(graph, kProfiles, {.level = 3, .threads = 1}, measured).ok());
  EXPECT_EQ(graph.nodes[0].kernel, "");
}

TEST(Tune, WhatTheCacheLacksIsAnErrorWhenAskedFor) {
  if (cpu::current_isa() == cpu::Isa::kPortable) GTEST_SKIP() << "no vector instructions, no second candidate";
  TimingCache empty;
  ir::Graph graph = model();
  const Status status = choose_tactics(graph, kProfiles, {.level = 3, .threads = 1, .error_on_miss = true}, empty);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(status.error().message().find("'MatMul'"), std::string::npos);
  EXPECT_NE(status.error().message().find("float32[16, 64]"), std::string::npos);
}

TEST(Tune, LevelZeroMeasuresNothing) {
  TimingCache cache;
  ir::Graph graph = model();
  ASSERT_TRUE(choose_tactics(graph, {}, {.level = 0, .threads = 1}, cache).ok());
  EXPECT_FALSE(cache.changed());
  if (cpu::current_isa() != cpu::Isa::kPortable) {
    EXPECT_NE(graph.nodes[0].trials[0].reason.find("level 0"), std::string::npos);
  }
}

TEST(Tune, ElidedConstantsKeepTheirExtents) {
  ir::Graph graph = model();
  graph.value(graph.find("b")).elided = true;
  graph.value(graph.find("b")).constant = {};
  const ops::Fact input = ops::Fact::of(ir::Type::tensor(DType::kFloat32, {3, 64}));
  const auto specialization = runtime::specialize(graph, {&input, 1});
  ASSERT_TRUE(specialization.ok());
  EXPECT_TRUE(specialization->complete);
  EXPECT_EQ(specialization->values[graph.find("product")].dims, (Dims{3, 48}));
}

TEST(Tune, StopsWhenAsked) {
  TimingCache cache;
  ir::Graph graph = model();
  const auto stop = [](const std::string&, double) -> Status { return Error(ErrorCode::kCancelled, "stop"); };
  const Status status = choose_tactics(graph, {}, {.level = 3, .threads = 1, .progress = stop}, cache);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace cameo::builder
