#include "ops/reduction_test.h"

namespace cameo::ops {

OP_TEST(ReduceSumSquare) {
  return reduction_cases(kReduced,
                         {.last_axis = {5, 25, 61, 113, 181, 265},
                          .middle_axis = {10, 20, 74, 100, 202, 244},
                          .outer_axes = {247, 403},
                          .all_axes = 650,
                          .no_axes = {1, 16},
                          .first_axis = {107, 140, 179, 224},
                          .half = {5, 25},
                          .scalar = 4,
                          .empty = 0},
                         {{.name = "integers", .inputs = {tensor<int32_t>({2}, {-3, 3})}, .outputs = {tensor<int32_t>({1}, {18})}}});
}

}  // namespace cameo::ops
