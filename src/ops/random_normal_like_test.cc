#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RandomNormalLike) {
  return {
      {.name = "type of the input",
       .attributes = {{"seed", "7"}},
       .inputs = {tensor<double>({2}, {0, 0})},
       .outputs = {tensor<double>({2}, {1.6905257038, -0.4659373159})}},
      {.name = "type of the attribute",
       .attributes = {{"seed", "7"}, {"dtype", "1"}},
       .inputs = {tensor<int32_t>({1}, {0})},
       .outputs = {tensor<float>({1}, {1.6905257f})}},
      {.name = "integers need dtype", .inputs = {tensor<int32_t>({1}, {0})}, .error = "the input is int32"},
  };
}

}  // namespace cameo::ops
