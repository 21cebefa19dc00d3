#include "ops/reduction_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceLogSumExp) {
  return reduction_cases(kReduced,
                         {.last_axis = {2.31326169f, 3.00091147f, 6.31326169f, 8.31326169f, 10, 12.3132617f},
                          .middle_axis = {3.12692801f, 2.00247569f, 7.12692801f, 8.12692801f, 11, 12.126928f},
                          .outer_axes = {10.0251925f, 12.3315003f},
                          .all_axes = 12.42647261001352,
                          .no_axes = {1, 4},
                          .first_axis = {5.01815074f, 10.0184793f, 11.0184793f, 12.01815f},
                          .half = {2.3132616875182226, 4.313261687518223},
                          .scalar = 2,
                          .empty = -INFINITY},
                         {{.name = "large and infinite",
                           .attributes = {{"axes", "[1]"}},
                           .inputs = {tensor<float>({2, 2}, {1000, 1000, -INFINITY, -INFINITY})},
                           .outputs = {tensor<float>({2, 1}, {1000.69315f, -INFINITY})},
                           .version = 13},
                          {.name = "NaN and infinity",
                           .attributes = {{"axes", "[1]"}},
                           .inputs = {tensor<float>({2, 2}, {1, NAN, INFINITY, 1})},
                           .outputs = {tensor<float>({2, 1}, {NAN, INFINITY})},
                           .version = 13}});
}

}  // namespace cameo::ops
