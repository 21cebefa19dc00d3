#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Pow) {
  return {
      {.name = "floats",
       .inputs = {tensor<float>({4}, {2, 9, -2, 0}), tensor<float>({4}, {3, 0.5f, 2, 0})},
       .outputs = {tensor<float>({4}, {8, 3, 4, 1})}},
      {.name = "square and cube",
       .inputs = {tensor<float>({2}, {3, -2}), tensor<int32_t>({}, {2})},
       .outputs = {tensor<float>({2}, {9, 4})}},
      {.name = "cube of half",
       .inputs = {numbers(DType::kFloat16, {2}, {3, -2}), tensor<float>({1}, {3})},
       .outputs = {numbers(DType::kFloat16, {2}, {27, -8})}},
      {.name = "integers",
       .inputs = {tensor<int32_t>({4}, {2, 3, -2, 0}), tensor<int32_t>({4}, {10, 4, 3, 0})},
       .outputs = {tensor<int32_t>({4}, {1024, 81, -8, 1})}},
      {.name = "integers wrap around",
       .inputs = {tensor<int32_t>({1}, {3}), tensor<int64_t>({1}, {40})},
       .outputs = {tensor<int32_t>({1}, {689956897})}},
      {.name = "negative exponents of integers",
       .inputs = {tensor<int64_t>({4}, {1, -1, 2, 0}), tensor<int64_t>({1}, {-3})},
       .outputs = {tensor<int64_t>({4}, {1, -1, 0, 0})}},
      {.name = "float to an integer power",
       .inputs = {tensor<float>({2}, {2, 3}), tensor<int64_t>({2, 1}, {1, 4})},
       .outputs = {tensor<float>({2, 2}, {2, 3, 16, 81})}},
      {.name = "integer to a float power",
       .inputs = {tensor<int64_t>({2}, {4, 9}), tensor<float>({1}, {0.5f})},
       .outputs = {tensor<int64_t>({2}, {2, 3})}},
      {.name = "version 1 aligns at axis",
       .attributes = {{"broadcast", "1"}, {"axis", "0"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({2}, {2, 1})},
       .outputs = {tensor<float>({2, 2}, {1, 4, 3, 4})},
       .version = 1},
      {.name = "version 7 wants one type",
       .inputs = {tensor<float>({1}, {1}), tensor<int32_t>({1}, {1})},
       .error = "input 1 is int32",
       .version = 7},
  };
}

}  // namespace cameo::ops
