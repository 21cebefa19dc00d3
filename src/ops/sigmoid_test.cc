#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Sigmoid) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({5}, {0, 1, -1, -1000, 1000})},
       .outputs = {tensor<float>({5}, {0.5f, 0.731058579f, 0.268941421f, 0, 1})}},
      {.name = "double", .inputs = {tensor<double>({1}, {1})}, .outputs = {tensor<double>({1}, {0.7310585786300049})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.7310585786300049})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
