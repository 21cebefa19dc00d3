#include "ops/reduction_test.h"

namespace cameo::ops {

OP_TEST(ReduceProd) {
  return reduction_cases(
      kReduced,
      {.last_axis = {2, -12, 30, 56, -90, 132},
       .middle_axis = {3, -8, 35, 48, -99, 120},
       .outer_axes = {-5400, -88704},
       .all_axes = 479001600,
       .no_axes = {1, 4},
       .first_axis = {-45, 120, 231, -384},
       .half = {2, 12},
       .scalar = 2,
       .empty = 1},
      {{.name = "integers wrap around", .inputs = {tensor<int32_t>({2}, {65536, 65537})}, .outputs = {tensor<int32_t>({1}, {65536})}}});
}

}  // namespace cameo::ops
