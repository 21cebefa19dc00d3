#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Multinomial) {
  return {
      {.name = "certain outcomes",
       .attributes = {{"sample_size", "3"}, {"dtype", "7"}},
       .inputs = {tensor<float>({2, 2}, {0, -1000, -1000, 0})},
       .outputs = {tensor<int64_t>({2, 3}, {0, 0, 0, 1, 1, 1})}},
      {.name = "no class", .inputs = {tensor<float>({1, 0}, {})}, .error = "no class to draw"},
      {.name = "not a number", .inputs = {tensor<float>({1, 1}, {__builtin_nanf("")})}, .error = "row 0 holds no log-probabilities"},
      {.name = "negative sample size",
       .attributes = {{"sample_size", "-1"}},
       .inputs = {tensor<float>({1, 1}, {0})},
       .error = "sample_size is -1"},
  };
}

}  // namespace cameo::ops
