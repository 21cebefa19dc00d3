#include "ops/op_test.h"

namespace cameo::ops {
namespace {

// (x, y) -> x and y joined
ir::Graph joining() {
  GraphBuilder b;
  const auto x = b.input(), y = b.input();
  b.output(b.node("Concat", {x, y}, {{"axis", "0"}}));
  return b.graph();
}

}  // namespace

OP_TEST(SequenceMap) {
  const Tensor a = tensor<float>({1}, {1}), b = tensor<float>({1}, {2}), c = tensor<float>({1}, {3});
  return {
      {.name = "with a tensor",
       .inputs = {sequence({a, b}), c},
       .outputs = {sequence({tensor<float>({2}, {1, 3}), tensor<float>({2}, {2, 3})})},
       .subgraphs = {joining()}},
      {.name = "with a sequence",
       .inputs = {sequence({a}), sequence({b})},
       .outputs = {sequence({tensor<float>({2}, {1, 2})})},
       .subgraphs = {joining()}},
      {.name = "lengths differ",
       .inputs = {sequence({a}), sequence({b, c})},
       .error = "input 1 is a sequence of 2 elements, input 0 of 1",
       .subgraphs = {joining()}},
      {.name = "errors name the element",
       .inputs = {sequence({a}), tensor<float>({}, {1})},
       .error = "element 0: node 'tested' (Concat)",
       .subgraphs = {joining()}},
  };
}

}  // namespace cameo::ops
