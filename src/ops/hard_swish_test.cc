#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(HardSwish) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({5}, {-4, -1, 0, 1, 4})},
       .outputs = {tensor<float>({5}, {0, -0.333333333f, 0, 0.666666667f, 4})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.6666666666666666})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
