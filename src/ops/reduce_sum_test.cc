#include "ops/reduction_test.h"

namespace cameo::ops {

OP_TEST(ReduceSum) {
  return reduction_cases(
      kReduced,
      {.last_axis = {3, -1, 11, 15, 1, 23},
       .middle_axis = {4, -2, 12, 14, 2, 22},
       .outer_axes = {15, 37},
       .all_axes = 52,
       .no_axes = {1, 4},
       .first_axis = {-3, 18, 21, 16},
       .half = {3, 7},
       .scalar = 2,
       .empty = 0},
      {{.name = "integers wrap around", .inputs = {tensor<int32_t>({2}, {INT32_MAX, 1})}, .outputs = {tensor<int32_t>({1}, {INT32_MIN})}},
       {.name = "version 13 has axes as input",
        .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {0})},
        .outputs = {tensor<float>({1, 2}, {4, 6})},
        .version = 13}});
}

}  // namespace cameo::ops
