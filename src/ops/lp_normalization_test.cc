#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LpNormalization) {
  return {
      {.name = "last axis", .inputs = {tensor<float>({2, 2}, {3, -4, 0, 0})}, .outputs = {tensor<float>({2, 2}, {0.6f, -0.8f, 0, 0})}},
      {.name = "p = 1 along the first axis",
       .attributes = {{"p", "1"}, {"axis", "0"}},
       .inputs = {tensor<double>({2, 2}, {1, -4, 3, 4})},
       .outputs = {tensor<double>({2, 2}, {0.25, -0.5, 0.75, 0.5})}},
      {.name = "p = 3", .attributes = {{"p", "3"}}, .inputs = {tensor<float>({1}, {1})}, .error = "p is 3; allowed: 1, 2"},
  };
}

}  // namespace cameo::ops
