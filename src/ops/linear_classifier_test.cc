#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LinearClassifier) {
  const std::string ml = "ai.onnx.ml";
  const Tensor x = tensor<float>({2, 1}, {1, -1});
  return {
      {.name = "three classes, softmax",
       .attributes = {{"coefficients", "[0, 1, -1]"}, {"classlabels_strings", "[a, b, c]"}, {"post_transform", "'SOFTMAX'"}},
       .inputs = {x},
       .outputs = {tensor<std::string>({2}, {"b", "c"}),
                   tensor<float>({2, 3}, {0.24472848f, 0.66524094f, 0.09003057f, 0.24472848f, 0.09003057f, 0.66524094f})},
       .domain = ml},
      {.name = "one row for two classes",
       .attributes = {{"coefficients", "[2]"}, {"intercepts", "[1]"}, {"classlabels_ints", "[7, 8]"}},
       .inputs = {x},
       .outputs = {tensor<int64_t>({2}, {8, 7}), tensor<float>({2, 2}, {-3, 3, 1, -1})},
       .domain = ml},
      {.name = "no labels",
       .attributes = {{"coefficients", "[1]"}},
       .inputs = {x},
       .error = "exactly one kind must be given",
       .domain = ml},
  };
}

}  // namespace cameo::ops
