#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ConvTranspose) {
  return {
      {.name = "stride 2",
       .attributes = {{"strides", "[2]"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 10}), tensor<float>({1, 1, 3}, {1, 2, 3}), tensor<float>({1}, {100})},
       .outputs = {tensor<float>({1, 1, 5}, {101, 102, 113, 120, 130})}},
      {.name = "pads and output_padding",
       .attributes = {{"strides", "[2]"}, {"pads", "[1, 1]"}, {"output_padding", "[1]"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 10}), tensor<float>({1, 1, 3}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 1, 4}, {2, 13, 20, 30})}},
      {.name = "SAME_UPPER cuts the end",
       .attributes = {{"strides", "[2]"}, {"auto_pad", "'SAME_UPPER'"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 10}), tensor<float>({1, 1, 3}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 1, 4}, {1, 2, 13, 20})}},
      {.name = "output_shape cuts the beginning",
       .attributes = {{"strides", "[2]"}, {"output_shape", "[4]"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 10}), tensor<float>({1, 1, 3}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 1, 4}, {2, 13, 20, 30})}},
      {.name = "channels and groups",
       .attributes = {{"group", "2"}},
       .inputs = {tensor<double>({1, 4, 1}, {1, 2, 3, 4}), tensor<double>({4, 1, 2}, {1, 2, 3, 4, 5, 6, 7, 8})},
       .outputs = {tensor<double>({1, 2, 2}, {7, 10, 43, 50})}},
      {.name = "two axes",
       .inputs = {tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4}), tensor<float>({1, 1, 2, 2}, {1, 1, 1, 1})},
       .outputs = {tensor<float>({1, 1, 3, 3}, {1, 3, 2, 4, 10, 6, 3, 7, 4})}},
      {.name = "channels do not match",
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<float>({1, 1, 1}, {1})},
       .error = "the input channels of the weights: 1 where 2 is expected"},
      {.name = "padding larger than the output",
       .attributes = {{"pads", "[2, 2]"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {1})},
       .error = "the output's extent along spatial axis 0 would be -3"},
  };
}

}  // namespace cameo::ops
