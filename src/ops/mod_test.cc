#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Mod) {
  return {
      {.name = "signs of integers",
       .inputs = {tensor<int32_t>({4}, {7, -7, 7, -7}), tensor<int32_t>({4}, {3, 3, -3, -3})},
       .outputs = {tensor<int32_t>({4}, {1, 2, -2, -1})}},
      {.name = "fmod of integers",
       .attributes = {{"fmod", "1"}},
       .inputs = {tensor<int32_t>({4}, {7, -7, 7, -7}), tensor<int32_t>({4}, {3, 3, -3, -3})},
       .outputs = {tensor<int32_t>({4}, {1, -1, 1, -1})}},
      {.name = "floats",
       .inputs = {tensor<float>({5}, {-4.3f, 4.3f, 5, -1, INFINITY}), tensor<float>({5}, {2, -2, INFINITY, INFINITY, 2})},
       .outputs = {tensor<float>({5}, {1.7f, -1.7f, 5, INFINITY, NAN})}},
      {.name = "fmod of floats",
       .attributes = {{"fmod", "1"}},
       .inputs = {tensor<float>({2}, {-4.3f, 5}), tensor<float>({2}, {2, 0})},
       .outputs = {tensor<float>({2}, {-0.3f, NAN})}},
      {.name = "by zero and overflow",
       .inputs = {tensor<int8_t>({2}, {5, -128}), tensor<int8_t>({2}, {0, -1})},
       .outputs = {tensor<int8_t>({2}, {0, 0})}},
      {.name = "unsigned", .inputs = {tensor<uint8_t>({1}, {200}), tensor<uint8_t>({}, {7})}, .outputs = {tensor<uint8_t>({1}, {4})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {-4}), numbers(DType::kFloat16, {1}, {3})},
       .outputs = {numbers(DType::kFloat16, {1}, {2})}},
  };
}

}  // namespace cameo::ops
