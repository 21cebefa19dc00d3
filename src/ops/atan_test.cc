#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Atan) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {-1, 0, 5})}, .outputs = {tensor<float>({3}, {-0.785398163f, 0, 1.37340077f})}},
      {.name = "bfloat16",
       .inputs = {numbers(DType::kBfloat16, {1}, {0.5})},
       .outputs = {numbers(DType::kBfloat16, {1}, {0.4636476090008061})},
       .tolerance = 2e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
