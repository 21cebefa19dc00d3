#include "ops/reduction_test.h"

namespace cameo::ops {

OP_TEST(ReduceL1) {
  return reduction_cases(kReduced,
                         {.last_axis = {3, 7, 11, 15, 19, 23},
                          .middle_axis = {4, 6, 12, 14, 20, 22},
                          .outer_axes = {33, 45},
                          .all_axes = 78,
                          .no_axes = {1, 4},
                          .first_axis = {15, 18, 21, 24},
                          .half = {3, 7},
                          .scalar = 2,
                          .empty = 0},
                         {{.name = "integers", .inputs = {tensor<int32_t>({3}, {-3, 2, -1})}, .outputs = {tensor<int32_t>({1}, {6})}}});
}

}  // namespace cameo::ops
