#include "base/numeric.h"
#include "ops/cameo_op_test.h"

namespace cameo::ops {
namespace {

Tensor floats8(const Dims& dims, std::initializer_list<float> values) {
  Tensor t = Tensor::allocate(DType::kFloat8E4M3FN, dims).value();
  int64_t i = 0;
  for (float v : values) t.data<Float8E4M3FN>()[i++] = Float8E4M3FN(v);
  return t;
}

}  // namespace

CAMEO_OP_TEST(Float8Conv) {
  const Tensor x = floats8({1, 3, 2}, {1, 2, 3, 4, 5, 6});  // three positions of two channels
  const Tensor w = floats8({1, 4}, {1, 0, 2, -1});          // two taps of two channels, one column
  const Tensor scale = tensor<float>({1}, {2});
  const std::vector<std::pair<std::string, std::string>> base = {
      {"n", "1"}, {"channels", "2"}, {"kernel_shape", "[2]"}, {"x_scale", "0.5"}};
  const auto with = [&](std::initializer_list<std::pair<std::string, std::string>> more) {
    auto all = base;
    all.insert(all.end(), more);
    return all;
  };
  return {
      {.name = "plain", .attributes = base, .inputs = {x, w, scale}, .outputs = {tensor<float>({1, 2, 1}, {3, 7})}},
      {.name = "padding and strides",
       .attributes = with({{"pads", "[1, 1]"}, {"strides", "[3]"}}),
       .inputs = {x, w, scale},
       .outputs = {tensor<float>({1, 2, 1}, {0, 5})}},
      {.name = "dilation, and 8-bit floats out",
       .attributes = with({{"dilations", "[2]"}, {"y_type", "17"}, {"y_scale", "0.25"}}),
       .inputs = {x, w, scale},
       .outputs = {floats8({1, 1, 1}, {20})}},
      {.name = "an addend of 8-bit floats",
       .attributes = with({{"program", "[0, 0, 1, 0]"}, {"operand_scales", "[4]"}}),
       .inputs = {x, w, scale, floats8({1, 2, 1}, {1, -2})},
       .outputs = {tensor<float>({1, 2, 1}, {7, -1})}},
      {.name = "an addend without its scale",
       .attributes = with({{"program", "[0, 0, 1, 0]"}}),
       .inputs = {x, w, scale, floats8({1, 2, 1}, {1, -2})},
       .error = "its scale is 0"},
      {.name = "no images", .attributes = base, .inputs = {floats8({0, 3, 2}, {}), w, scale}, .outputs = {tensor<float>({0, 2, 1}, {})}},
      {.name = "a kernel of two axes",
       .attributes = {{"n", "1"}, {"channels", "2"}, {"kernel_shape", "[1, 2]"}},
       .inputs = {x, w, scale},
       .error = "2 axes"},
      {.name = "no kernel", .attributes = {{"n", "1"}, {"channels", "2"}}, .inputs = {x, w, scale}, .error = "kernel_shape"},
      {.name = "a weight of another shape",
       .attributes = with({{"dilations", "[1]"}}),
       .inputs = {x, floats8({1, 2}, {1, 2}), scale},
       .error = "W has shape"},
  };
}

}  // namespace cameo::ops
