#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(EyeLike) {
  return {
      {.name = "square", .inputs = {tensor<float>({2, 2}, {5, 5, 5, 5})}, .outputs = {tensor<float>({2, 2}, {1, 0, 0, 1})}},
      {.name = "moved diagonal, bool",
       .attributes = {{"k", "1"}, {"dtype", "9"}},
       .inputs = {tensor<int32_t>({2, 3}, {0, 0, 0, 0, 0, 0})},
       .outputs = {numbers(DType::kBool, {2, 3}, {0, 1, 0, 0, 0, 1})}},
      {.name = "diagonal outside",
       .attributes = {{"k", "-9223372036854775807"}},
       .inputs = {tensor<float>({1, 1}, {5})},
       .outputs = {tensor<float>({1, 1}, {0})}},
      {.name = "vector", .inputs = {tensor<float>({1}, {5})}, .error = "must have rank 2"},
  };
}

}  // namespace cameo::ops
