#include <gtest/gtest.h>

#include "ops/op_test.h"

namespace cameo::ops {
namespace {

const Tensor kYes = tensor<bool>({}, {true});

// (i, cond, list) -> (cond, list with i at its end, i)
ir::Graph counting() {
  GraphBuilder b;
  const auto i = b.input(), cond = b.input(), list = b.input();
  const auto axis = b.constant(tensor<int64_t>({1}, {0}));
  b.output(cond);
  b.output(b.node("Concat", {list, b.node("Unsqueeze", {i, axis})}, {{"axis", "0"}}));
  b.output(b.node("Identity", {i}));
  return b.graph();
}

// (i, cond) -> (a condition that does not hold, i)
ir::Graph stopping() {
  GraphBuilder b;
  const auto i = b.input();
  b.input();
  b.output(b.constant(tensor<bool>({}, {false})));
  b.output(i);
  return b.graph();
}

// (i, cond) -> (cond, the first i elements of a list)
ir::Graph growing() {
  GraphBuilder b;
  const auto i = b.input(), cond = b.input();
  const auto zero = b.constant(tensor<int64_t>({1}, {0})), list = b.constant(tensor<float>({3}, {1, 2, 3}));
  b.output(cond);
  b.output(b.node("Slice", {list, zero, b.node("Unsqueeze", {i, zero})}));
  return b.graph();
}

// (i, cond, x) -> (cond, x as a constant of another type)
ir::Graph retyping() {
  GraphBuilder b;
  b.input();
  const auto cond = b.input();
  b.input();
  b.output(cond);
  b.output(b.constant(tensor<double>({}, {1})));
  return b.graph();
}

ir::Type inferred(const ir::Graph& body, std::vector<Fact> facts, size_t num_inputs, size_t output) {
  GraphBuilder b;
  std::vector<ir::ValueId> ids;
  for (const Fact& fact : facts) ids.push_back(b.input(fact.type));
  EXPECT_EQ(ids.size(), num_inputs);
  b.output(b.node("Loop", ids, {}, {body}));
  ir::Graph graph = b.graph();
  while (graph.nodes[0].outputs.size() <= output) graph.nodes[0].outputs.push_back(graph.add_value("more"));
  auto all = infer_graph(graph, facts);
  EXPECT_TRUE(all.ok()) << all.error().message();
  return all.ok() ? (*all)[graph.nodes[0].outputs[output]].type : ir::Type{};
}

TEST(LoopInference, CarriedShapesHoldInEveryIteration) {
  const std::vector<Fact> facts = {Fact::of(tensor<int64_t>({}, {3})), Fact::of(kYes), Fact::of(ir::Type::tensor(DType::kInt64, {0}))};
  EXPECT_EQ(inferred(counting(), facts, 3, 0).to_string(), "int64[?]");
  EXPECT_EQ(inferred(counting(), facts, 3, 1).to_string(), "int64[3]");
}

TEST(LoopInference, TripCountMayBeSymbolicOrUnknown) {
  Fact count = Fact::of(ir::Type::tensor(DType::kInt64, {}));
  const Fact list = Fact::of(ir::Type::tensor(DType::kInt64, {0}));
  EXPECT_EQ(inferred(counting(), {count, Fact::of(kYes), list}, 3, 1).to_string(), "int64[?]");
  count.values = ir::Shape{ir::Dim::symbol("n") + 2};
  EXPECT_EQ(inferred(counting(), {count, Fact::of(kYes), list}, 3, 1).to_string(), "int64[max(0, n + 2)]");
  EXPECT_EQ(inferred(stopping(), {Fact::of(tensor<int64_t>({}, {3})), Fact::of(kYes)}, 2, 0).to_string(), "int64[?]");
}

TEST(LoopEvaluation, StopsWhenCancelled) {
  GraphBuilder b;
  const auto condition = b.constant(kYes), list = b.constant(tensor<int64_t>({0}, {}));
  b.output(b.node("Loop", {ir::kNoValue, condition, list}, {}, {counting()}));
  int polls = 0;
  const auto result = evaluate_graph(b.graph(), {}, {.check_cancelled = [&]() -> Status {
                                       if (++polls > 100) return Error(ErrorCode::kCancelled, "enough");
                                       return {};
                                     }});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kCancelled);
}

}  // namespace

OP_TEST(Loop) {
  const Tensor three = tensor<int64_t>({}, {3}), list = tensor<int64_t>({1}, {7});
  return {
      {.name = "a trip count",
       .inputs = {three, Tensor(), list},
       .outputs = {tensor<int64_t>({4}, {7, 0, 1, 2}), tensor<int64_t>({3}, {0, 1, 2})},
       .subgraphs = {counting()}},
      {.name = "a condition ends it", .inputs = {three, kYes}, .outputs = {tensor<int64_t>({1}, {0})}, .subgraphs = {stopping()}},
      {.name = "no limit but the condition",
       .inputs = {Tensor(), tensor<bool>({1}, {true})},
       .outputs = {tensor<int64_t>({1}, {0})},
       .subgraphs = {stopping()}},
      {.name = "without the input the body's condition is ignored",
       .inputs = {three, Tensor()},
       .outputs = {tensor<int64_t>({3}, {0, 1, 2})},
       .subgraphs = {stopping()}},
      {.name = "no iteration", .inputs = {tensor<int64_t>({}, {-1}), kYes, list}, .outputs = {list}, .subgraphs = {counting()}},
      {.name = "scan values of several shapes",
       .inputs = {three, kYes},
       .error = "iteration 1: scan output 0: the body gives float32[1] where it gave float32[0] before",
       .subgraphs = {growing()}},
      {.name = "a carried value that changes its type",
       .inputs = {three, kYes, list},
       .outputs = {tensor<double>({}, {1})},
       .subgraphs = {retyping()}},
      {.name = "endless", .inputs = {Tensor(), Tensor(), list}, .error = "it would never end", .subgraphs = {counting()}},
      {.name = "body of other inputs", .inputs = {three, kYes}, .error = "the body has 3 inputs", .subgraphs = {counting()}},
  };
}

}  // namespace cameo::ops
