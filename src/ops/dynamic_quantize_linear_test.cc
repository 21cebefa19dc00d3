#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(DynamicQuantizeLinear) {
  return {
      {.name = "a range with both signs",
       .inputs = {tensor<float>({6}, {0, 2, -3, -2.5f, 1.34f, 0.5f})},
       .outputs = {tensor<uint8_t>({6}, {153, 255, 0, 26, 221, 179}), tensor<float>({}, {0.0196078438f}), tensor<uint8_t>({}, {153})}},
      {.name = "only positive",
       .inputs = {tensor<float>({3}, {1, 2, 4})},
       .outputs = {tensor<uint8_t>({3}, {64, 127, 255}), tensor<float>({}, {0.0156862745f}), tensor<uint8_t>({}, {0})}},
      {.name = "all zero",
       .inputs = {tensor<float>({2}, {0, 0})},
       .outputs = {tensor<uint8_t>({2}, {0, 0}), tensor<float>({}, {0.00392156863f}), tensor<uint8_t>({}, {0})}},
      {.name = "no elements",
       .inputs = {tensor<float>({0}, {})},
       .outputs = {tensor<uint8_t>({0}, {}), tensor<float>({}, {0.00392156863f}), tensor<uint8_t>({}, {0})}},
  };
}

}  // namespace cameo::ops
