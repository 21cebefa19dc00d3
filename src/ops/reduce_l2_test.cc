#include "ops/reduction_test.h"

namespace cameo::ops {

OP_TEST(ReduceL2) {
  return reduction_cases(kReduced,
                         {.last_axis = {2.23606798f, 5, 7.81024968f, 10.6301458f, 13.453624f, 16.2788206f},
                          .middle_axis = {3.16227766f, 4.47213595f, 8.60232527f, 10, 14.2126704f, 15.6204994f},
                          .outer_axes = {15.7162336f, 20.0748599f},
                          .all_axes = 25.495097567963924,
                          .no_axes = {1, 4},
                          .first_axis = {10.3440804f, 11.8321596f, 13.3790882f, 14.9666295f},
                          .half = {2.23606797749979, 5},
                          .scalar = 2,
                          .empty = 0},
                         {{.name = "integers are cut", .inputs = {tensor<int32_t>({2}, {-3, 3})}, .outputs = {tensor<int32_t>({1}, {4})}}});
}

}  // namespace cameo::ops
