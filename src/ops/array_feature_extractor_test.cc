#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ArrayFeatureExtractor) {
  const Tensor x = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const std::string ml = "ai.onnx.ml";
  return {
      {.name = "matrix", .inputs = {x, tensor<int64_t>({2}, {2, 0})}, .outputs = {tensor<float>({2, 2}, {3, 1, 6, 4})}, .domain = ml},
      {.name = "vector of strings",
       .inputs = {tensor<std::string>({2}, {"a", "b"}), tensor<int64_t>({1, 1}, {1})},
       .outputs = {tensor<std::string>({1, 1}, {"b"})},
       .domain = ml},
      {.name = "no rows",
       .inputs = {tensor<float>({0, 3}, {}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({0, 1}, {})},
       .domain = ml},
      {.name = "out of range",
       .inputs = {x, tensor<int64_t>({1}, {3})},
       .error = "an index is 3; the last axis has the elements 0 to 2",
       .domain = ml},
  };
}

}  // namespace cameo::ops
