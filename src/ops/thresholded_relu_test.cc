#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ThresholdedRelu) {
  return {
      {.name = "default", .inputs = {tensor<float>({3}, {-1, 1, 1.5f})}, .outputs = {tensor<float>({3}, {0, 0, 1.5f})}},
      {.name = "alpha",
       .attributes = {{"alpha", "0.5"}},
       .inputs = {tensor<float>({2}, {0.6f, 0.5f})},
       .outputs = {tensor<float>({2}, {0.6f, 0})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {1}, {2})}, .outputs = {numbers(DType::kFloat16, {1}, {2})}, .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
