#include "ops/op_test.h"

namespace cameo::ops {
namespace {

ir::Graph branch(Tensor value) {
  GraphBuilder b;
  b.output(b.constant(std::move(value)));
  return b.graph();
}

// Fails when it is run.
ir::Graph failing() {
  GraphBuilder b;
  b.output(b.node("SequenceAt", {b.node("SequenceEmpty", {}), b.constant(tensor<int64_t>({}, {0}))}));
  return b.graph();
}

}  // namespace

OP_TEST(If) {
  const Tensor one = tensor<float>({}, {1}), two = tensor<float>({2}, {2, 2});
  const Tensor yes = tensor<bool>({}, {true}), no = tensor<bool>({1}, {false});
  return {
      {.name = "then", .inputs = {yes}, .outputs = {one}, .subgraphs = {branch(one), branch(two)}},
      {.name = "else", .inputs = {no}, .outputs = {two}, .subgraphs = {branch(one), branch(two)}},
      {.name = "the other branch is not run", .inputs = {no}, .outputs = {two}, .subgraphs = {failing(), branch(two)}},
      {.name = "errors name the branch",
       .inputs = {yes},
       .error = "then_branch: node 'tested' (SequenceAt)",
       .subgraphs = {failing(), branch(two)}},
      {.name = "two conditions",
       .inputs = {tensor<bool>({2}, {true, true})},
       .error = "the condition has shape 2",
       .subgraphs = {branch(one), branch(two)}},
      {.name = "too few outputs",
       .inputs = {yes},
       .outputs = {one, one},
       .error = "then_branch has 1 outputs, the node 2",
       .subgraphs = {branch(one), branch(two)}},
  };
}

}  // namespace cameo::ops
