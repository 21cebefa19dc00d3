#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Elu) {
  return {
      {.name = "default", .inputs = {tensor<float>({4}, {-1, 0, 2, NAN})}, .outputs = {tensor<float>({4}, {-0.632120559f, 0, 2, NAN})}},
      {.name = "alpha",
       .attributes = {{"alpha", "0.5"}},
       .inputs = {tensor<float>({2}, {-1, 3})},
       .outputs = {tensor<float>({2}, {-0.316060279f, 3})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {-1})},
       .outputs = {numbers(DType::kFloat16, {1}, {-0.6321205588285577})},
       .tolerance = 1e-2},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
