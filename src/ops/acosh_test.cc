#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Acosh) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({4}, {1, 2, 10, 0.5f})},
       .outputs = {tensor<float>({4}, {0, 1.3169579f, 2.99322285f, NAN})}},
      {.name = "bfloat16",
       .inputs = {numbers(DType::kBfloat16, {1}, {1})},
       .outputs = {numbers(DType::kBfloat16, {1}, {0})},
       .tolerance = 2e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
