#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Softsign) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {-1, 0, 3})}, .outputs = {tensor<float>({3}, {-0.5f, 0, 0.75f})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.5})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
