#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Swish) {
  return {
      {.name = "default", .inputs = {tensor<float>({3}, {-1, 0, 2})}, .outputs = {tensor<float>({3}, {-0.268941421f, 0, 1.76159416f})}},
      {.name = "alpha",
       .attributes = {{"alpha", "0.5"}},
       .inputs = {tensor<float>({1}, {2})},
       .outputs = {tensor<float>({1}, {1.46211716f})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.7310585786300049})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
