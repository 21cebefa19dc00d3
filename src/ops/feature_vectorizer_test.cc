#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(FeatureVectorizer) {
  const std::string ml = "ai.onnx.ml";
  const Tensor a = tensor<int64_t>({2, 1}, {1, 2}), b = tensor<float>({2, 2}, {3, 4, 5, 6});
  return {
      {.name = "joined", .inputs = {a, b}, .outputs = {tensor<float>({2, 3}, {1, 3, 4, 2, 5, 6})}, .domain = ml},
      {.name = "filled up and cut",
       .attributes = {{"inputdimensions", "[2, 1]"}},
       .inputs = {a, b},
       .outputs = {tensor<float>({2, 3}, {1, 0, 3, 2, 0, 5})},
       .domain = ml},
      {.name = "rows differ", .inputs = {a, tensor<float>({2}, {1, 2})}, .error = "input 1 has 1 rows, others 2", .domain = ml},
  };
}

}  // namespace cameo::ops
