#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Shrink) {
  return {
      {.name = "default", .inputs = {tensor<float>({5}, {-2, -0.5f, 0, 0.5f, 2})}, .outputs = {tensor<float>({5}, {-2, 0, 0, 0, 2})}},
      {.name = "bias and lambd",
       .attributes = {{"bias", "1.5"}, {"lambd", "1.5"}},
       .inputs = {tensor<float>({3}, {-2, 1, 2})},
       .outputs = {tensor<float>({3}, {-0.5f, 0, 0.5f})}},
      {.name = "integers",
       .attributes = {{"bias", "1.5"}, {"lambd", "1.5"}},
       .inputs = {tensor<int32_t>({3}, {-3, 1, 3})},
       .outputs = {tensor<int32_t>({3}, {-1, 0, 1})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {1}, {2})}, .outputs = {numbers(DType::kFloat16, {1}, {2})}, .tolerance = 1e-2},
  };
}

}  // namespace cameo::ops
