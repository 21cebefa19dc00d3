#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Softplus) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({5}, {-1, 0, 1, 1000, -1000})},
       .outputs = {tensor<float>({5}, {0.313261688f, 0.693147181f, 1.31326169f, 1000, 0})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {0})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.6931471805599453})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
