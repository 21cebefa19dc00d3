#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Reciprocal) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {4, -0.5f, 0})}, .outputs = {tensor<float>({3}, {0.25f, -2, INFINITY})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {4})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.25})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
