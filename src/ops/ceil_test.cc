#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Ceil) {
  return {
      {.name = "values", .inputs = {tensor<float>({4}, {-1.5f, 1.2f, 2, NAN})}, .outputs = {tensor<float>({4}, {-1, 2, 2, NAN})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1.5})},
       .outputs = {numbers(DType::kFloat16, {1}, {2})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
