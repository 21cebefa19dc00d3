#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(PRelu) {
  return {
      {.name = "one slope",
       .inputs = {tensor<float>({3}, {-2, 0, 3}), tensor<float>({1}, {0.5f})},
       .outputs = {tensor<float>({3}, {-1, 0, 3})}},
      {.name = "broadcast slope",
       .inputs = {tensor<float>({2, 2}, {-1, -2, -3, 4}), tensor<float>({2, 1}, {2, 3})},
       .outputs = {tensor<float>({2, 2}, {-2, -4, -9, 4})}},
      {.name = "version 6 has a slope a channel",
       .inputs = {tensor<float>({1, 2, 1, 2}, {-1, -2, -3, 4}), tensor<float>({2}, {2, 3})},
       .outputs = {tensor<float>({1, 2, 1, 2}, {-2, -4, -9, 4})},
       .version = 6},
      {.name = "integers",
       .inputs = {tensor<int32_t>({2}, {-2, 3}), tensor<int32_t>({1}, {5})},
       .outputs = {tensor<int32_t>({2}, {-10, 3})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {-2}), numbers(DType::kFloat16, {1}, {0.5})},
       .outputs = {numbers(DType::kFloat16, {1}, {-1})}},
      {.name = "a slope that would grow the input",
       .inputs = {tensor<float>({1}, {1}), tensor<float>({2}, {1, 2})},
       .error = "slope [2] does not broadcast"},
  };
}

}  // namespace cameo::ops
