#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ConvInteger) {
  return {
      {.name = "zero points",
       .inputs = {tensor<uint8_t>({1, 1, 3}, {2, 3, 255}), tensor<uint8_t>({1, 1, 2}, {1, 2}), tensor<uint8_t>({}, {1}),
                  tensor<uint8_t>({1}, {3})},
       .outputs = {tensor<int32_t>({1, 1, 2}, {-4, -258})}},
      {.name = "padding is the zero point",
       .attributes = {{"pads", "[1, 0]"}},
       .inputs = {tensor<uint8_t>({1, 1, 1}, {5}), tensor<int8_t>({1, 1, 2}, {-1, 10}), tensor<uint8_t>({}, {3})},
       .outputs = {tensor<int32_t>({1, 1, 1}, {20})}},
      {.name = "a zero point per output channel, two input channels",
       .inputs = {tensor<int8_t>({1, 2, 1}, {-128, 127}), tensor<int8_t>({2, 2, 1}, {1, 2, 3, 4}), Tensor(), tensor<int8_t>({2}, {0, 1})},
       .outputs = {tensor<int32_t>({1, 2, 1}, {126, 125})}},
      {.name = "zero points for other channels",
       .inputs = {tensor<int8_t>({1, 1, 1}, {1}), tensor<int8_t>({2, 1, 1}, {1, 2}), Tensor(), tensor<int8_t>({3}, {0, 1, 2})},
       .error = "w_zero_point has shape [3]"},
      {.name = "zero point of another type",
       .inputs = {tensor<int8_t>({1, 1, 1}, {1}), tensor<int8_t>({2, 1, 1}, {1, 2}), tensor<uint8_t>({}, {1})},
       .error = "input 2 is uint8, but input 0 is int8"},
  };
}

}  // namespace cameo::ops
