#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(IsNaN) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {1, NAN, INFINITY})}, .outputs = {tensor<bool>({3}, {false, true, false})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {2}, {NAN, 1})}, .outputs = {tensor<bool>({2}, {true, false})}},
      {.name = "float8", .inputs = {numbers(DType::kFloat8E4M3FN, {2}, {NAN, 1})}, .outputs = {tensor<bool>({2}, {true, false})}},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
