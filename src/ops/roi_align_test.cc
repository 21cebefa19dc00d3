#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RoiAlign) {
  return {
      {.name = "one sample a cell",
       .attributes = {{"sampling_ratio", "1"}, {"coordinate_transformation_mode", "'output_half_pixel'"}},
       .inputs = {tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4}), tensor<float>({1, 4}, {0, 0, 1, 1}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {2.5})}},
      {.name = "half_pixel shifts",
       .attributes = {{"sampling_ratio", "1"}},
       .inputs = {tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4}), tensor<float>({1, 4}, {0, 0, 2, 2}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {2.5})}},
      {.name = "version 10 does not shift",
       .attributes = {{"sampling_ratio", "1"}},
       .inputs = {tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4}), tensor<float>({1, 4}, {0, 0, 2, 2}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {4})},
       .version = 10},
      {.name = "outside is 0",
       .attributes = {{"sampling_ratio", "1"}},
       .inputs = {tensor<float>({1, 1, 1, 1}, {7}), tensor<float>({1, 4}, {50, 50, 60, 60}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {0})}},
      {.name = "batch index out of range",
       .inputs = {tensor<float>({1, 1, 1, 1}, {7}), tensor<float>({1, 4}, {0, 0, 1, 1}), tensor<int64_t>({1}, {-1})},
       .error = "batch_indices[0] is -1; allowed: 0 to 0"},
      {.name = "a region without bounds",
       .inputs = {tensor<float>({1, 1, 1, 1}, {7}), tensor<float>({1, 4}, {0, 0, 1e30f, 1}), tensor<int64_t>({1}, {0})},
       .error = "at most 4096 x 4096"},
  };
}

}  // namespace cameo::ops
