#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GlobalAveragePool) {
  return {
      {.name = "two channels",
       .inputs = {tensor<float>({1, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 10})},
       .outputs = {tensor<float>({1, 2, 1, 1}, {2.5, 7})}},
      {.name = "more elements than lanes",
       .inputs = {tensor<double>({1, 1, 9}, {1, 2, 3, 4, 5, 6, 7, 8, 9})},
       .outputs = {tensor<double>({1, 1, 1}, {5})}},
      {.name = "no spatial axes", .inputs = {tensor<float>({1, 2}, {3, 4})}, .outputs = {tensor<float>({1, 2}, {3, 4})}},
      {.name = "no samples", .inputs = {tensor<float>({0, 2, 3}, {})}, .outputs = {tensor<float>({0, 2, 1}, {})}},
      {.name = "rank", .inputs = {tensor<float>({2}, {1, 2})}, .error = "rank 2 or more"},
  };
}

}  // namespace cameo::ops
