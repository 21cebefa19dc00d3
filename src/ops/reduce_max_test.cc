#include "ops/reduction_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceMax) {
  return reduction_cases(
      kReduced,
      {.last_axis = {2, 3, 6, 8, 10, 12},
       .middle_axis = {3, 2, 7, 8, 11, 12},
       .outer_axes = {10, 12},
       .all_axes = 12,
       .no_axes = {1, 4},
       .first_axis = {5, 10, 11, 12},
       .half = {2, 4},
       .scalar = 2,
       .empty = -INFINITY},
      {{.name = "NaN wins", .inputs = {tensor<float>({5}, {1, NAN, 3, 4, 5})}, .outputs = {tensor<float>({1}, {NAN})}},
       {.name = "bool",
        .inputs = {tensor<bool>({2, 2}, {true, false, false, false}), tensor<int64_t>({1}, {1})},
        .outputs = {tensor<bool>({2, 1}, {true, false})}},
       {.name = "an empty set of integers", .inputs = {tensor<int8_t>({0}, {})}, .outputs = {tensor<int8_t>({1}, {-128})}}});
}

}  // namespace cameo::ops
