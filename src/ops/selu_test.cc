#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Selu) {
  return {
      {.name = "default", .inputs = {tensor<float>({3}, {-1, 0, 2})}, .outputs = {tensor<float>({3}, {-1.11133072f, 0, 2.101402f})}},
      {.name = "alpha and gamma",
       .attributes = {{"alpha", "2"}, {"gamma", "3"}},
       .inputs = {tensor<float>({2}, {-1, 1})},
       .outputs = {tensor<float>({2}, {-3.79272335f, 3})}},
      {.name = "version 1",
       .inputs = {tensor<float>({1}, {1})},
       .outputs = {tensor<float>({1}, {1.0507f})},
       .version = 1,
       .tolerance = 1e-7},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {1.0507})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
