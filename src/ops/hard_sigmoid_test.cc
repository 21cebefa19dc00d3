#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(HardSigmoid) {
  return {
      {.name = "defaults", .inputs = {tensor<float>({5}, {-3, 0, 1, 3, NAN})}, .outputs = {tensor<float>({5}, {0, 0.5f, 0.7f, 1, NAN})}},
      {.name = "alpha and beta",
       .attributes = {{"alpha", "0.5"}, {"beta", "0.6"}},
       .inputs = {tensor<float>({2}, {-1, 0.5f})},
       .outputs = {tensor<float>({2}, {0.1f, 0.85f})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.7})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
