#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MatMulInteger) {
  return {
      {.name = "zero points",
       .inputs = {tensor<uint8_t>({4, 3}, {11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0}), tensor<uint8_t>({3, 2}, {1, 4, 2, 5, 3, 6}),
                  tensor<uint8_t>({1}, {12}), tensor<uint8_t>({1}, {0})},
       .outputs = {tensor<int32_t>({4, 2}, {-38, -83, -44, -98, -50, -113, -56, -128})}},
      {.name = "none",
       .inputs = {tensor<int8_t>({1, 2}, {-1, 2}), tensor<uint8_t>({2, 1}, {200, 3})},
       .outputs = {tensor<int32_t>({1, 1}, {-194})}},
      {.name = "a zero point a row and a column",
       .inputs = {tensor<int8_t>({2, 1}, {3, 4}), tensor<int8_t>({1, 2}, {5, 6}), tensor<int8_t>({2}, {1, 2}), tensor<int8_t>({2}, {3, 4})},
       .outputs = {tensor<int32_t>({2, 2}, {4, 4, 4, 4})}},
      {.name = "a batch",
       .inputs = {tensor<int8_t>({2, 1, 1}, {2, 3}), tensor<int8_t>({1, 1}, {5}), tensor<int8_t>({2, 1, 1}, {1, 1})},
       .outputs = {tensor<int32_t>({2, 1, 1}, {5, 10})}},
      {.name = "no elements",
       .inputs = {tensor<int8_t>({0, 2}, {}), tensor<int8_t>({2, 1}, {1, 2})},
       .outputs = {tensor<int32_t>({0, 1}, {})}},
      {.name = "a zero point that fits nothing",
       .inputs = {tensor<int8_t>({2, 1}, {3, 4}), tensor<int8_t>({1, 2}, {5, 6}), tensor<int8_t>({3}, {1, 2, 3})},
       .error = "a_zero_point has shape 3"},
      {.name = "a zero point of another type",
       .inputs = {tensor<int8_t>({2, 1}, {3, 4}), tensor<int8_t>({1, 2}, {5, 6}), tensor<uint8_t>({}, {1})},
       .error = "a_zero_point is uint8"},
  };
}

}  // namespace cameo::ops
