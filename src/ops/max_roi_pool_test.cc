#include <limits>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MaxRoiPool) {
  return {
      {.name = "two cells, scaled",
       .attributes = {{"pooled_shape", "[1, 2]"}, {"spatial_scale", "0.5"}},
       .inputs = {tensor<float>({1, 1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}), tensor<float>({2, 5}, {0, 0, 0, 6, 0, 0, 2, 2, 4, 2})},
       .outputs = {tensor<float>({2, 1, 1, 2}, {2, 4, 6, 7})}},
      {.name = "a region outside gives 0",
       .attributes = {{"pooled_shape", "[1, 1]"}},
       .inputs = {tensor<float>({1, 1, 1, 1}, {5}), tensor<float>({1, 5}, {0, 7, 7, 9, 9})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {0})}},
      {.name = "no such sample",
       .attributes = {{"pooled_shape", "[1, 1]"}},
       .inputs = {tensor<float>({1, 1, 1, 1}, {5}), tensor<float>({1, 5}, {1, 0, 0, 0, 0})},
       .error = "rois[0] names sample 1; allowed: 0 to 0"},
      {.name = "not finite",
       .attributes = {{"pooled_shape", "[1, 1]"}},
       .inputs = {tensor<float>({1, 1, 1, 1}, {5}), tensor<float>({1, 5}, {0, std::numeric_limits<float>::infinity(), 0, 0, 0})},
       .error = "rois[0] is not finite"},
  };
}

}  // namespace cameo::ops
