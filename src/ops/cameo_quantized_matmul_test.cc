#include "ops/cameo_op_test.h"
#include "ops/cameo_quantized.h"

namespace cameo::ops {

CAMEO_OP_TEST(QuantizedMatMul) {
  const Tensor x = tensor<uint8_t>({2, 3}, {12, 10, 9, 10, 11, 255});
  const std::vector<int8_t> weights = {1, -2, 0, 4, -128, 127};  // 3 x 2
  const Tensor w = pack_int8(3, 2, [&](int64_t k, int64_t j) { return weights[static_cast<size_t>(k * 2 + j)]; }).value();
  const Tensor scale = tensor<float>({2}, {1, 0.5f});
  const std::vector<std::pair<std::string, std::string>> base = {{"k", "3"}, {"n", "2"}, {"x_scale", "0.5"}, {"x_zero", "10"}};
  const auto with = [&](std::initializer_list<std::pair<std::string, std::string>> more) {
    auto all = base;
    all.insert(all.end(), more);
    return all;
  };
  // sums: (2, 0, -1) and (0, 1, 245): 130, -131; -31360, 31119
  return {
      {.name = "float output",
       .attributes = base,
       .inputs = {x, w, scale},
       .outputs = {tensor<float>({2, 2}, {65, -32.75f, -15680, 7779.75f})}},
      {.name = "int8 activations",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_zero", "-3"}},
       .inputs = {tensor<int8_t>({3}, {-3, -128, 127}), w, scale},
       .outputs = {tensor<float>({2}, {-16640, 8005})}},
      {.name = "uint8 output with Relu and a bias",
       .attributes = with({{"program", "[0, 0, 1, 0, 24, 2, 0, 0]"}, {"y_type", "2"}, {"y_scale", "2"}, {"y_zero", "3"}}),
       .inputs = {x, w, scale, tensor<float>({2}, {0, 40.75f})},
       .outputs = {tensor<uint8_t>({2, 2}, {35, 7, 3, 255})}},
      {.name = "int8 output with a residual of bytes",
       .attributes =
           with({{"program", "[0, 0, 1, 0]"}, {"y_type", "3"}, {"y_scale", "1"}, {"operand_scales", "[10]"}, {"operand_zeros", "[1]"}}),
       .inputs = {x, w, scale, tensor<uint8_t>({2, 2}, {0, 4, 1, 1})},
       .outputs = {tensor<int8_t>({2, 2}, {55, -3, -128, 127})}},
      {.name = "no rows", .attributes = base, .inputs = {tensor<uint8_t>({0, 3}, {}), w, scale}, .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "another depth", .attributes = base, .inputs = {tensor<uint8_t>({1, 2}, {1, 2}), w, scale}, .error = "3 rows"},
      {.name = "a zero that uint8 cannot hold",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_zero", "-1"}},
       .inputs = {x, w, scale},
       .error = "x_zero is -1"},
      {.name = "a scale of zero",
       .attributes = {{"k", "3"}, {"n", "2"}, {"x_scale", "0"}},
       .inputs = {x, w, scale},
       .error = "x_scale is 0"},
      {.name = "a weight of another shape",
       .attributes = {{"k", "5"}, {"n", "2"}},
       .inputs = {tensor<uint8_t>({1, 5}, {1, 2, 3, 4, 5}), w, scale},
       .error = "W is int8"},
      {.name = "bytes without a scale",
       .attributes = with({{"program", "[0, 0, 1, 0]"}}),
       .inputs = {x, w, scale, tensor<uint8_t>({2}, {0, 4})},
       .error = "its scale is 0"},
      {.name = "an output of no such type", .attributes = with({{"y_type", "7"}}), .inputs = {x, w, scale}, .error = "y_type is 7"},
  };
}

}  // namespace cameo::ops
