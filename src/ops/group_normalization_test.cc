#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GroupNormalization) {
  return {
      {.name = "scale and bias per channel",
       .attributes = {{"epsilon", "0"}, {"num_groups", "1"}},
       .inputs = {tensor<float>({1, 2, 2}, {1, 1, 3, 3}), tensor<float>({2}, {1, 2}), tensor<float>({2}, {0, 1})},
       .outputs = {tensor<float>({1, 2, 2}, {-1, -1, 3, 3})}},
      {.name = "version 18 has them per group",
       .attributes = {{"epsilon", "0"}, {"num_groups", "2"}},
       .inputs = {tensor<float>({1, 4, 1}, {1, 3, 5, 9}), tensor<float>({2}, {1, 10}), tensor<float>({2}, {0, 1})},
       .outputs = {tensor<float>({1, 4, 1}, {-1, 1, -9, 11})},
       .version = 18},
      {.name = "groups do not divide",
       .attributes = {{"num_groups", "3"}},
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<float>({2}, {1, 1}), tensor<float>({2}, {0, 0})},
       .error = "num_groups is 3, which does not divide the 2 channels"},
      {.name = "num_groups is missing",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<float>({2}, {1, 1}), tensor<float>({2}, {0, 0})},
       .error = "num_groups is 0"},
  };
}

}  // namespace cameo::ops
