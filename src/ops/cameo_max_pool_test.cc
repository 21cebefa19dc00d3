#include <limits>

#include "ops/cameo_op_test.h"

namespace cameo::ops {

CAMEO_OP_TEST(MaxPool) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {
      {.name = "two channels",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {tensor<float>({1, 3, 2}, {1, 9, 2, 8, 3, 7})},
       .outputs = {tensor<float>({1, 2, 2}, {2, 9, 3, 8})}},
      {.name = "two axes, stride, padding",
       .attributes = {{"kernel_shape", "[2, 2]"}, {"strides", "[2, 2]"}, {"pads", "[1, 1, 0, 0]"}},
       .inputs = {tensor<float>({1, 3, 3, 1}, {-1, -2, -3, -4, -5, -6, -7, -8, -9})},
       .outputs = {tensor<float>({1, 2, 2, 1}, {-1, -2, -4, -5})}},
      {.name = "ceil_mode",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[2]"}, {"ceil_mode", "1"}},
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 2, 1}, {2, 3})}},
      {.name = "NaN wins",
       .attributes = {{"kernel_shape", "[3]"}},
       .inputs = {tensor<float>({1, 3, 2}, {1, 1, nan, 2, 2, 3})},
       .outputs = {tensor<float>({1, 1, 2}, {nan, 3})}},
      {.name = "bytes",
       .attributes = {{"kernel_shape", "[2]"}, {"pads", "[1, 0]"}},
       .inputs = {tensor<uint8_t>({1, 3, 2}, {1, 200, 130, 8, 3, 7})},
       .outputs = {tensor<uint8_t>({1, 3, 2}, {1, 200, 130, 200, 130, 8})}},
      {.name = "signed bytes",
       .attributes = {{"kernel_shape", "[2]"}, {"pads", "[1, 0]"}},
       .inputs = {tensor<int8_t>({1, 2, 1}, {-128, -100})},
       .outputs = {tensor<int8_t>({1, 2, 1}, {-128, -100})}},
      {.name = "no channels",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {tensor<float>({1, 3, 0}, {})},
       .outputs = {tensor<float>({1, 2, 0}, {})}},
      {.name = "no kernel_shape", .inputs = {tensor<float>({1, 3, 1}, {1, 2, 3})}, .error = "kernel_shape"},
      {.name = "rank 2", .attributes = {{"kernel_shape", "[1]"}}, .inputs = {tensor<float>({1, 3}, {1, 2, 3})}, .error = "rank 3"},
  };
}

}  // namespace cameo::ops
