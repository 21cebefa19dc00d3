#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Atanh) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({4}, {-0.5f, 0, 0.5f, 2})},
       .outputs = {tensor<float>({4}, {-0.549306144f, 0, 0.549306144f, NAN})}},
      {.name = "bfloat16",
       .inputs = {numbers(DType::kBfloat16, {1}, {0.5})},
       .outputs = {numbers(DType::kBfloat16, {1}, {0.5493061443340549})},
       .tolerance = 2e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
