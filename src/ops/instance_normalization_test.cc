#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(InstanceNormalization) {
  return {
      {.name = "each channel by itself",
       .attributes = {{"epsilon", "0"}},
       .inputs = {tensor<float>({1, 2, 2}, {1, 3, 10, 50}), tensor<float>({2}, {1, 2}), tensor<float>({2}, {0, 1})},
       .outputs = {tensor<float>({1, 2, 2}, {-1, 1, -1, 3})}},
      {.name = "scale for other channels",
       .inputs = {tensor<float>({1, 2, 1}, {1, 3}), tensor<float>({1}, {1}), tensor<float>({2}, {0, 1})},
       .error = "scale has shape [1]; [2] is expected"},
      {.name = "no samples",
       .inputs = {tensor<float>({0, 1, 2}, {}), tensor<float>({1}, {1}), tensor<float>({1}, {0})},
       .outputs = {tensor<float>({0, 1, 2}, {})}},
  };
}

}  // namespace cameo::ops
