#include "ops/reduction_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceMean) {
  return reduction_cases(kReduced,
                         {.last_axis = {1.5f, -0.5f, 5.5f, 7.5f, 0.5f, 11.5f},
                          .middle_axis = {2, -1, 6, 7, 1, 11},
                          .outer_axes = {2.5f, 6.16666667f},
                          .all_axes = 4.333333333333333,
                          .no_axes = {1, 4},
                          .first_axis = {-1, 6, 7, 5.33333333f},
                          .half = {1.5, 3.5},
                          .scalar = 2,
                          .empty = NAN},
                         {{.name = "integers towards zero",
                           .inputs = {tensor<int32_t>({2}, {-1, -2}), tensor<int64_t>({1}, {0})},
                           .outputs = {tensor<int32_t>({1}, {-1})}}});
}

}  // namespace cameo::ops
