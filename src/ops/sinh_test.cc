#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Sinh) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {-1, 0, 2})}, .outputs = {tensor<float>({3}, {-1.17520119f, 0, 3.62686041f})}},
      {.name = "bfloat16",
       .inputs = {numbers(DType::kBfloat16, {1}, {0.5})},
       .outputs = {numbers(DType::kBfloat16, {1}, {0.5210953054937474})},
       .tolerance = 2e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
