#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GlobalLpPool) {
  return {
      {.name = "p = 2", .inputs = {tensor<float>({1, 2, 2}, {3, -4, 6, 8})}, .outputs = {tensor<float>({1, 2, 1}, {5, 10})}},
      {.name = "p = 1",
       .attributes = {{"p", "1"}},
       .inputs = {tensor<float>({1, 1, 2}, {3, -4})},
       .outputs = {tensor<float>({1, 1, 1}, {7})}},
      {.name = "p = 3",
       .attributes = {{"p", "3"}},
       .inputs = {tensor<double>({1, 1, 2}, {3, -4})},
       .outputs = {tensor<double>({1, 1, 1}, {4.497941445275415})}},
      {.name = "p = 0", .attributes = {{"p", "0"}}, .inputs = {tensor<float>({1, 1, 2}, {3, -4})}, .error = "p is 0"},
  };
}

}  // namespace cameo::ops
