#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Neg) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {1, -2.5f, 0})}, .outputs = {tensor<float>({3}, {-1, 2.5f, 0})}},
      {.name = "integers", .inputs = {tensor<int8_t>({2}, {-128, 5})}, .outputs = {tensor<int8_t>({2}, {-128, -5})}},
      {.name = "least int64", .inputs = {tensor<int64_t>({2}, {INT64_MIN, 1})}, .outputs = {tensor<int64_t>({2}, {INT64_MIN, -1})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1.5})},
       .outputs = {numbers(DType::kFloat16, {1}, {-1.5})},
       .tolerance = 1e-2},
  };
}

}  // namespace cameo::ops
