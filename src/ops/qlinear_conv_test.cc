#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(QLinearConv) {
  return {
      {.name = "rounds ties to even, saturates",
       .inputs = {tensor<uint8_t>({1, 1, 4}, {1, 3, 255, 0}), tensor<float>({}, {1}), tensor<uint8_t>({}, {0}),
                  tensor<uint8_t>({1, 1, 1}, {1}), tensor<float>({}, {0.5}), tensor<uint8_t>({}, {0}), tensor<float>({}, {1}),
                  tensor<uint8_t>({}, {200})},
       .outputs = {tensor<uint8_t>({1, 1, 4}, {200, 202, 255, 200})}},
      {.name = "scales per channel, bias, int8",
       .inputs = {tensor<uint8_t>({1, 1, 2}, {11, 12}), tensor<float>({}, {1}), tensor<uint8_t>({}, {10}),
                  tensor<int8_t>({2, 1, 1}, {1, -2}), tensor<float>({2}, {1, 10}), tensor<int8_t>({2}, {0, 0}), tensor<float>({}, {1}),
                  tensor<int8_t>({}, {-1}), tensor<int32_t>({2}, {5, 0})},
       .outputs = {tensor<int8_t>({1, 2, 2}, {5, 6, -21, -41})}},
      {.name = "scales for other channels",
       .inputs = {tensor<uint8_t>({1, 1, 1}, {1}), tensor<float>({}, {1}), tensor<uint8_t>({}, {0}), tensor<uint8_t>({1, 1, 1}, {1}),
                  tensor<float>({2}, {1, 1}), tensor<uint8_t>({}, {0}), tensor<float>({}, {1}), tensor<uint8_t>({}, {0})},
       .error = "w_scale has shape [2]"},
  };
}

}  // namespace cameo::ops
