#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Sign) {
  return {
      {.name = "floats", .inputs = {tensor<float>({4}, {-2, 0, 0.5f, NAN})}, .outputs = {tensor<float>({4}, {-1, 0, 1, NAN})}},
      {.name = "int64", .inputs = {tensor<int64_t>({3}, {INT64_MIN, 0, 7})}, .outputs = {tensor<int64_t>({3}, {-1, 0, 1})}},
      {.name = "uint8", .inputs = {tensor<uint8_t>({2}, {0, 200})}, .outputs = {tensor<uint8_t>({2}, {0, 1})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {-3})},
       .outputs = {numbers(DType::kFloat16, {1}, {-1})},
       .tolerance = 1e-2},
  };
}

}  // namespace cameo::ops
