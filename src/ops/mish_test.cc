#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Mish) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({4}, {-1, 0, 1, 1000})},
       .outputs = {tensor<float>({4}, {-0.303401461f, 0, 0.865098388f, 1000})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.8650983882673103})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
