#include "ops/cameo_op_test.h"
#include "ops/cameo_quantized.h"

namespace cameo::ops {

CAMEO_OP_TEST(QuantizedConv) {
  const Tensor x = tensor<uint8_t>({1, 3, 2}, {1, 2, 3, 4, 5, 6});  // three positions of two channels
  const std::vector<int8_t> taps = {1, 0, 2, -1};                   // two taps of two channels, one column
  const Tensor w = pack_int8(4, 1, [&](int64_t k, int64_t) { return taps[static_cast<size_t>(k)]; }).value();
  const Tensor scale = tensor<float>({1}, {2});
  const std::vector<std::pair<std::string, std::string>> base = {{"n", "1"}, {"channels", "2"}, {"kernel_shape", "[2]"}};
  const auto with = [&](std::initializer_list<std::pair<std::string, std::string>> more) {
    auto all = base;
    all.insert(all.end(), more);
    return all;
  };
  return {
      {.name = "plain", .attributes = base, .inputs = {x, w, scale}, .outputs = {tensor<float>({1, 2, 1}, {6, 14})}},
      {.name = "padding is the zero point",
       .attributes = with({{"pads", "[1, 1]"}, {"x_zero", "1"}, {"strides", "[3]"}}),
       .inputs = {x, w, scale},
       .outputs = {tensor<float>({1, 2, 1}, {-2, 8})}},
      {.name = "dilation and bytes out",
       .attributes = with({{"dilations", "[2]"}, {"y_type", "2"}, {"y_scale", "4"}, {"y_zero", "100"}}),
       .inputs = {x, w, scale},
       .outputs = {tensor<uint8_t>({1, 1, 1}, {102})}},
      {.name = "depthwise",
       .attributes = {{"n", "2"}, {"channels", "2"}, {"group", "2"}, {"kernel_shape", "[2]"}},
       .inputs = {x, tensor<int8_t>({2, 2}, {1, 2, 3, -4}), tensor<float>({2}, {1, 0.5f})},
       .outputs = {tensor<float>({1, 2, 2}, {10, -6, 18, -8})}},
      {.name = "groups that are not depthwise",
       .attributes = {{"n", "4"}, {"channels", "4"}, {"group", "2"}, {"kernel_shape", "[1]"}},
       .inputs = {tensor<uint8_t>({1, 1, 4}, {1, 2, 3, 4}), w, scale},
       .error = "group is 2"},
      {.name = "other channels",
       .attributes = {{"n", "1"}, {"channels", "3"}, {"kernel_shape", "[2]"}},
       .inputs = {x, w, scale},
       .error = "channels"},
      {.name = "a kernel of two axes",
       .attributes = {{"n", "1"}, {"channels", "2"}, {"kernel_shape", "[1, 2]"}},
       .inputs = {x, w, scale},
       .error = "2 axes"},
      {.name = "no kernel", .attributes = {{"n", "1"}, {"channels", "2"}}, .inputs = {x, w, scale}, .error = "kernel_shape"},
  };
}

}  // namespace cameo::ops
