#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SwiGLU) {
  return {
      {.name = "default",
       .inputs = {tensor<float>({2}, {1, -2}), tensor<float>({2}, {3, 0.5f})},
       .outputs = {tensor<float>({2}, {2.19317574f, -0.119202922f})}},
      {.name = "alpha",
       .attributes = {{"alpha", "0.5"}},
       .inputs = {tensor<float>({1}, {2}), tensor<float>({1}, {1})},
       .outputs = {tensor<float>({1}, {1.46211716f})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1}), numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.7310585786300049})},
       .tolerance = 1e-3},
      {.name = "no broadcasting", .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({1}, {1})}, .error = "one shape"},
  };
}

}  // namespace cameo::ops
