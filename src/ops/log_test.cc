#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Log) {
  return {
      {.name = "values", .inputs = {tensor<float>({4}, {1, 2.71828183f, 0, -1})}, .outputs = {tensor<float>({4}, {0, 1, -INFINITY, NAN})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {2})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.6931471805599453})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
