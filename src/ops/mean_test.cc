#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Mean) {
  return {
      {.name = "three",
       .inputs = {tensor<float>({3}, {3, 0, 2}), tensor<float>({3}, {1, 3, 4}), tensor<float>({3}, {2, 6, 6})},
       .outputs = {tensor<float>({3}, {2, 3, 4})}},
      {.name = "one", .inputs = {tensor<float>({1}, {5})}, .outputs = {tensor<float>({1}, {5})}},
      {.name = "broadcast",
       .inputs = {tensor<float>({}, {3}), tensor<float>({2, 1}, {0, 3}), tensor<float>({2}, {0, 3})},
       .outputs = {tensor<float>({2, 2}, {1, 2, 2, 3})}},
      {.name = "half rounds once",
       .inputs = {numbers(DType::kFloat16, {1}, {2048}), numbers(DType::kFloat16, {1}, {1}), numbers(DType::kFloat16, {1}, {2})},
       .outputs = {numbers(DType::kFloat16, {1}, {683.5})}},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32"},
  };
}

}  // namespace cameo::ops
