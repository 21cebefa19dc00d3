#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LpPool) {
  return {
      {.name = "p = 2, padding adds nothing",
       .attributes = {{"kernel_shape", "[2]"}, {"pads", "[1, 0]"}},
       .inputs = {tensor<float>({1, 1, 3}, {3, -4, 0})},
       .outputs = {tensor<float>({1, 1, 3}, {3, 5, 4})}},
      {.name = "p = 1",
       .attributes = {{"kernel_shape", "[2]"}, {"p", "1"}},
       .inputs = {tensor<float>({1, 1, 2}, {3, -4})},
       .outputs = {tensor<float>({1, 1, 1}, {7})}},
      {.name = "p = 3",
       .attributes = {{"kernel_shape", "[2]"}, {"p", "3"}},
       .inputs = {tensor<double>({1, 1, 2}, {3, -4})},
       .outputs = {tensor<double>({1, 1, 1}, {4.497941445275415})}},
      {.name = "p = 0",
       .attributes = {{"kernel_shape", "[2]"}, {"p", "0"}},
       .inputs = {tensor<float>({1, 1, 2}, {3, -4})},
       .error = "p is 0"},
  };
}

}  // namespace cameo::ops
