#include "ops/reduction_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceMin) {
  return reduction_cases(
      kReduced,
      {.last_axis = {1, -4, 5, 7, -9, 11},
       .middle_axis = {1, -4, 5, 6, -9, 10},
       .outer_axes = {-9, -4},
       .all_axes = -9,
       .no_axes = {1, 4},
       .first_axis = {-9, 2, 3, -4},
       .half = {1, 3},
       .scalar = 2,
       .empty = INFINITY},
      {{.name = "NaN wins", .inputs = {tensor<float>({5}, {1, NAN, 3, 4, 5})}, .outputs = {tensor<float>({1}, {NAN})}},
       {.name = "bool",
        .inputs = {tensor<bool>({2, 2}, {true, false, false, false}), tensor<int64_t>({1}, {1})},
        .outputs = {tensor<bool>({2, 1}, {false, false})}},
       {.name = "an empty set of integers", .inputs = {tensor<int8_t>({0}, {})}, .outputs = {tensor<int8_t>({1}, {127})}}});
}

}  // namespace cameo::ops
