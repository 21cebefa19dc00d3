#include "ops/reduction_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceLogSum) {
  return reduction_cases(
      kReducedPositive,
      {.last_axis = {1.09861229f, 1.94591015f, 2.39789527f, 2.7080502f, 2.94443898f, 3.13549422f},
       .middle_axis = {1.38629436f, 1.79175947f, 2.48490665f, 2.63905733f, 2.99573227f, 3.09104245f},
       .outer_axes = {3.49650756f, 3.80666249f},
       .all_axes = 4.356708826689592,
       .no_axes = {0, 1.38629436f},
       .first_axis = {2.7080502f, 2.89037176f, 3.04452244f, 3.17805383f},
       .half = {1.0986122886681098, 1.9459101490553132},
       .scalar = 0.693147181f,
       .empty = -INFINITY},
      {{.name = "integers are cut", .inputs = {tensor<int32_t>({2}, {10, 11})}, .outputs = {tensor<int32_t>({1}, {3})}, .version = 18}});
}

}  // namespace cameo::ops
