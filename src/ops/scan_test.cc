#include "ops/op_test.h"

namespace cameo::ops {
namespace {

// (list, x) -> (list with x put before it cut to its first two elements, x)
ir::Graph shifting() {
  GraphBuilder b;
  const auto list = b.input(), x = b.input();
  const auto zero = b.constant(tensor<int64_t>({1}, {0})), two = b.constant(tensor<int64_t>({1}, {2}));
  const auto longer = b.node("Concat", {b.node("Unsqueeze", {x, zero}), list}, {{"axis", "0"}});
  b.output(b.node("Slice", {longer, zero, two}));
  b.output(b.node("Identity", {x}));
  return b.graph();
}

// x -> x
ir::Graph passing() {
  GraphBuilder b;
  b.output(b.input());
  return b.graph();
}

// (list, x) -> list with x before it
ir::Graph growing() {
  GraphBuilder b;
  const auto list = b.input(), x = b.input();
  b.output(b.node("Concat", {b.node("Unsqueeze", {x, b.constant(tensor<int64_t>({1}, {0}))}), list}, {{"axis", "0"}}));
  return b.graph();
}

}  // namespace

OP_TEST(Scan) {
  const Tensor state = tensor<float>({2}, {0, 0}), x = tensor<float>({3}, {1, 2, 3});
  const Tensor matrix = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  return {
      {.name = "forward",
       .attributes = {{"num_scan_inputs", "1"}},
       .inputs = {state, x},
       .outputs = {tensor<float>({2}, {3, 2}), x},
       .subgraphs = {shifting()}},
      {.name = "reversed in and out",
       .attributes = {{"num_scan_inputs", "1"}, {"scan_input_directions", "[1]"}, {"scan_output_directions", "[0]"}},
       .inputs = {state, x},
       .outputs = {tensor<float>({2}, {1, 2}), tensor<float>({3}, {3, 2, 1})},
       .subgraphs = {shifting()}},
      {.name = "axes",
       .attributes = {{"num_scan_inputs", "1"}, {"scan_input_axes", "[1]"}, {"scan_output_axes", "[0]"}},
       .inputs = {matrix},
       .outputs = {tensor<float>({3, 2}, {1, 4, 2, 5, 3, 6})},
       .subgraphs = {passing()}},
      {.name = "axes counted from the end, prepended",
       .attributes = {{"num_scan_inputs", "1"}, {"scan_output_axes", "[-1]"}, {"scan_output_directions", "[1]"}},
       .inputs = {matrix},
       .outputs = {tensor<float>({3, 2}, {4, 1, 5, 2, 6, 3})},
       .subgraphs = {passing()}},
      {.name = "batched, with lengths",
       .attributes = {{"num_scan_inputs", "1"}},
       .inputs = {tensor<int64_t>({2}, {3, 1}), tensor<float>({2, 2}, {0, 0, 0, 0}), matrix},
       .outputs = {tensor<float>({2, 2}, {3, 2, 4, 0}), tensor<float>({2, 3}, {1, 2, 3, 4, 0, 0})},
       .version = 8,
       .subgraphs = {shifting()}},
      {.name = "a length beyond the end",
       .attributes = {{"num_scan_inputs", "1"}},
       .inputs = {tensor<int64_t>({2}, {3, 4}), tensor<float>({2, 2}, {0, 0, 0, 0}), matrix},
       .outputs = {state, x},
       .error = "sequence_lens holds 4; allowed: 0 to 3",
       .version = 8,
       .subgraphs = {shifting()}},
      {.name = "a state that grows",
       .attributes = {{"num_scan_inputs", "1"}},
       .inputs = {state, x},
       .error = "step 0: state 0 goes from float32[2] to float32[3]",
       .subgraphs = {growing()}},
      {.name = "more scan inputs than inputs",
       .attributes = {{"num_scan_inputs", "3"}},
       .inputs = {state, x},
       .error = "num_scan_inputs is 3",
       .subgraphs = {shifting()}},
      {.name = "lengths differ",
       .attributes = {{"num_scan_inputs", "2"}},
       .inputs = {state, x},
       .outputs = {state, state},
       .error = "scan input 1 has 3 positions, others 2",
       .subgraphs = {shifting()}},
  };
}

}  // namespace cameo::ops
