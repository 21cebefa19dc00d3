#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Max) {
  return {
      {.name = "three",
       .inputs = {tensor<float>({3}, {3, 2, 1}), tensor<float>({3}, {1, 4, 4}), tensor<float>({3}, {2, 5, 3})},
       .outputs = {tensor<float>({3}, {3, 5, 4})}},
      {.name = "one", .inputs = {tensor<float>({2}, {3, 2})}, .outputs = {tensor<float>({2}, {3, 2})}},
      {.name = "the last input is the largest",
       .inputs = {tensor<int32_t>({}, {1}), tensor<int32_t>({1}, {2}), tensor<int32_t>({2, 2}, {0, 1, 2, 3})},
       .outputs = {tensor<int32_t>({2, 2}, {2, 2, 2, 3})}},
      {.name = "NaN wins",
       .inputs = {tensor<float>({2}, {NAN, 1}), tensor<float>({2}, {1, NAN})},
       .outputs = {tensor<float>({2}, {NAN, NAN})}},
      {.name = "half and uint64",
       .inputs = {numbers(DType::kFloat16, {1}, {1.5}), numbers(DType::kFloat16, {1}, {2.5})},
       .outputs = {numbers(DType::kFloat16, {1}, {2.5})}},
      {.name = "uint64",
       .inputs = {tensor<uint64_t>({1}, {UINT64_MAX}), tensor<uint64_t>({1}, {0})},
       .outputs = {tensor<uint64_t>({1}, {UINT64_MAX})}},
      {.name = "mixed types", .inputs = {tensor<float>({1}, {1}), tensor<int32_t>({1}, {1})}, .error = "input 1 is int32"},
  };
}

}  // namespace cameo::ops
