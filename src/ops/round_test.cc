#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Round) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({6}, {-2.5f, -1.5f, 0.5f, 1.5f, 2.4f, INFINITY})},
       .outputs = {tensor<float>({6}, {-2, -2, 0, 2, 2, INFINITY})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {2.5})},
       .outputs = {numbers(DType::kFloat16, {1}, {2})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
