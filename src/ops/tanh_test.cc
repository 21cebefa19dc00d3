#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Tanh) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({4}, {0, 0.5f, -1, 90})},
       .outputs = {tensor<float>({4}, {0, 0.462117157f, -0.761594156f, 1})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {0.5})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.46211715726000974})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
