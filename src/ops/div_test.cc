#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Div) {
  return {
      {.name = "floats",
       .inputs = {tensor<float>({3}, {1, -2, 0}), tensor<float>({3}, {4, 0, 0})},
       .outputs = {tensor<float>({3}, {0.25f, -INFINITY, NAN})}},
      {.name = "integers towards zero",
       .inputs = {tensor<int32_t>({4}, {7, -7, 7, -7}), tensor<int32_t>({4}, {2, 2, -2, -2})},
       .outputs = {tensor<int32_t>({4}, {3, -3, -3, 3})}},
      {.name = "integers by zero and overflow",
       .inputs = {tensor<int8_t>({2}, {5, -128}), tensor<int8_t>({2}, {0, -1})},
       .outputs = {tensor<int8_t>({2}, {0, -128})}},
      {.name = "unsigned", .inputs = {tensor<uint64_t>({1}, {9}), tensor<uint64_t>({}, {2})}, .outputs = {tensor<uint64_t>({1}, {4})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1}), numbers(DType::kFloat16, {1}, {3})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.3333333333333333})},
       .tolerance = 1e-3},
  };
}

}  // namespace cameo::ops
