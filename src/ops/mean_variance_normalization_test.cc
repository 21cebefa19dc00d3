#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MeanVarianceNormalization) {
  return {
      {.name = "each channel",
       .inputs = {tensor<float>({2, 2, 1, 1}, {1, 10, 3, 30})},
       .outputs = {tensor<float>({2, 2, 1, 1}, {-1, -1, 1, 1})}},
      {.name = "other axes",
       .attributes = {{"axes", "[-1]"}},
       .inputs = {tensor<float>({2, 2}, {1, 3, 5, 5})},
       .outputs = {tensor<float>({2, 2}, {-1, 1, 0, 0})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2, 2}, {1, 3, 5, 5})}, .error = "axes is 2"},
  };
}

}  // namespace cameo::ops
