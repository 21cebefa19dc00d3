#include "ops/op_test.h"

namespace cameo::ops {
namespace {

// Keeps only scores of keys up to the query's index, the others become 0.
ir::Graph lower_triangle() {
  GraphBuilder b;
  b.output(b.node("Trilu", {b.input()}, {{"upper", "0"}}));
  return b.graph();
}

ir::Graph doubled_batch() {
  GraphBuilder b;
  const auto x = b.input();
  b.output(b.node("Concat", {x, x}, {{"axis", "0"}}));
  return b.graph();
}

}  // namespace

OP_TEST(FlexAttention) {
  return {
      {.name = "grouped query heads",
       .inputs = {tensor<float>({1, 2, 1, 1}, {0, 1}), tensor<float>({1, 1, 2, 1}, {0, 1}), tensor<float>({1, 1, 2, 1}, {1, 3})},
       .outputs = {tensor<float>({1, 2, 1, 1}, {2, 2.4621172f})},
       .domain = "ai.onnx.preview"},
      {.name = "float16 with double precision",
       .attributes = {{"softmax_precision", "11"}, {"scale", "4"}},
       .inputs = {numbers(DType::kFloat16, {1, 1, 1, 1}, {0}), numbers(DType::kFloat16, {1, 1, 2, 1}, {0, 1}),
                  numbers(DType::kFloat16, {1, 1, 2, 1}, {1, 3})},
       .outputs = {numbers(DType::kFloat16, {1, 1, 1, 1}, {2})},
       .domain = "ai.onnx.preview"},
      {.name = "score_mod",
       .attributes = {{"scale", "1"}},
       .inputs = {tensor<float>({1, 1, 2, 1}, {1, 1}), tensor<float>({1, 1, 2, 1}, {0, 1}), tensor<float>({1, 1, 2, 1}, {1, 3})},
       .outputs = {tensor<float>({1, 1, 2, 1}, {2, 2.4621172f})},
       .domain = "ai.onnx.preview",
       .subgraphs = {lower_triangle()}},
      {.name = "score_mod gives another shape",
       .inputs = {tensor<float>({1, 1, 1, 1}, {1}), tensor<float>({1, 1, 1, 1}, {0}), tensor<float>({1, 1, 1, 1}, {1})},
       .error = "score_mod must give one tensor float32[1x1x1x1]",
       .domain = "ai.onnx.preview",
       .subgraphs = {doubled_batch()}},
      {.name = "rank",
       .inputs = {tensor<float>({1, 1, 1}, {0}), tensor<float>({1, 1, 2, 1}, {0, 1}), tensor<float>({1, 1, 2, 1}, {1, 3})},
       .error = "Q is [1, 1, 1]; it must have rank 4",
       .domain = "ai.onnx.preview"},
  };
}

}  // namespace cameo::ops
