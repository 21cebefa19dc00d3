#include "ops/cameo_op_test.h"

namespace cameo::ops {

CAMEO_OP_TEST(Conv) {
  const Tensor image = tensor<float>({1, 2, 2, 2}, {1, 2, 3, 4, 10, 20, 30, 40});
  const Tensor image_last = tensor<float>({1, 2, 2, 2}, {1, 10, 2, 20, 3, 30, 4, 40});
  return {
      {.name = "channels first",
       .inputs = {image, tensor<float>({1, 2, 2, 2}, {1, 1, 1, 1, 0, 0, 0, 1})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {50})}},
      {.name = "channels last, bias",
       .attributes = {{"channels_last", "1"}, {"program", "[0, 0, 1, 0]"}},
       .inputs = {image_last, tensor<float>({3, 2, 1, 1}, {1, 0, 0, 1, 1, 1}), tensor<float>({3}, {0, 0, 1000})},
       .outputs = {tensor<float>({1, 2, 2, 3}, {1, 10, 1011, 2, 20, 1022, 3, 30, 1033, 4, 40, 1044})}},
      {.name = "channels first, bias along axis 1, Relu",
       .attributes = {{"program", "[0, 0, 1, 0, 24, 2, 0, 0]"}},
       .inputs = {image, tensor<float>({2, 2, 1, 1}, {1, 0, 0, 1}), tensor<float>({2, 1, 1}, {0, -25})},
       .outputs = {tensor<float>({1, 2, 2, 2}, {1, 2, 3, 4, 0, 0, 5, 15})}},
      {.name = "groups, stride and padding, channels last",
       .attributes = {{"channels_last", "1"}, {"group", "2"}, {"strides", "[2]"}, {"pads", "[1, 0]"}},
       .inputs = {tensor<float>({1, 3, 2}, {1, 10, 2, 20, 3, 30}), tensor<float>({2, 1, 2}, {1, 1, 1, 2})},
       .outputs = {tensor<float>({1, 2, 2}, {1, 20, 5, 80})}},
      {.name = "dilation",
       .attributes = {{"channels_last", "1"}, {"dilations", "[2]"}},
       .inputs = {tensor<float>({1, 4, 1}, {1, 2, 3, 4}), tensor<float>({1, 1, 2}, {1, 10})},
       .outputs = {tensor<float>({1, 2, 1}, {31, 42})}},
      {.name = "no samples",
       .attributes = {{"channels_last", "1"}},
       .inputs = {tensor<float>({0, 3, 1}, {}), tensor<float>({2, 1, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({0, 2, 2}, {})}},
      {.name = "channels do not match",
       .attributes = {{"channels_last", "1"}},
       .inputs = {tensor<float>({1, 2, 3}, {1, 2, 3, 4, 5, 6}), tensor<float>({1, 2, 1}, {1, 1})},
       .error = "the input has 3 channels"},
      {.name = "a group of nothing",
       .attributes = {{"group", "0"}},
       .inputs = {image, tensor<float>({1, 2, 1, 1}, {1, 1})},
       .error = "group is 0"},
      {.name = "stride zero",
       .attributes = {{"strides", "[0, 1]"}},
       .inputs = {image, tensor<float>({1, 2, 1, 1}, {1, 1})},
       .error = "strides holds 0"},
      {.name = "bias of the other layout",
       .attributes = {{"channels_last", "1"}, {"program", "[0, 0, 1, 0]"}},
       .inputs = {image_last, tensor<float>({3, 2, 1, 1}, {1, 0, 0, 1, 1, 1}), tensor<float>({3, 1, 1}, {0, 0, 1000})},
       .error = "does not broadcast"},
  };
}

}  // namespace cameo::ops
