#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Exp) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({4}, {0, 1, -1, 1000})},
       .outputs = {tensor<float>({4}, {1, 2.71828183f, 0.367879441f, INFINITY})}},
      {.name = "half overflows to infinity",
       .inputs = {numbers(DType::kFloat16, {2}, {1, 12})},
       .outputs = {numbers(DType::kFloat16, {2}, {2.718281828459045, INFINITY})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
