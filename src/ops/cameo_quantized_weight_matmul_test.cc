#include "base/numeric.h"
#include "ops/cameo_op_test.h"
#include "ops/cameo_quantized_weight.h"

namespace cameo::ops {
namespace {

// The codes of a k x n matrix, row by row, in the packed form of the weight.
Tensor packed(int64_t bits, int64_t k, int64_t n, std::vector<int> codes) {
  QuantizedWeightAttrs attrs;
  attrs.bits = bits;
  attrs.k = k;
  attrs.n = n;
  return pack_codes(attrs, [&](int64_t r, int64_t c) { return static_cast<uint8_t>(codes[static_cast<size_t>(r * n + c)]); }).value();
}

// One group: the values of the columns, the last repeated up to 16.
template <class T>
Tensor a_column(std::vector<T> values) {
  values.resize(16, values.back());
  return Tensor::of<T>({1, 1, 16}, std::span<const T>(values));
}

}  // namespace

CAMEO_OP_TEST(QuantizedWeightMatMul) {
  const Tensor a = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor none;
  const Tensor scales = a_column<float>({0.5f, 2});
  const std::vector<std::pair<std::string, std::string>> eight = {{"bits", "8"}, {"k", "3"}, {"n", "2"}};
  const std::vector<std::pair<std::string, std::string>> four = {{"bits", "4"}, {"k", "3"}, {"n", "2"}};
  const auto with = [](auto attributes, std::initializer_list<std::pair<std::string, std::string>> more) {
    attributes.insert(attributes.end(), more);
    return attributes;
  };
  // W = [[1, -2], [0, 4], [0.5, 0]]
  const Tensor codes8 = packed(8, 3, 2, {130, 127, 128, 130, 129, 128}), codes4 = packed(4, 3, 2, {10, 7, 8, 10, 9, 8});
  const Tensor y = tensor<float>({2, 2}, {2.5f, 6, 7, 12});
  Tensor sixteen = Tensor::allocate(DType::kBfloat16, {1, 1, 16}).value();
  for (int i = 0; i < 16; ++i) sixteen.data<Bfloat16>()[i] = Bfloat16(static_cast<float>(i));
  return {
      {.name = "8 bits", .attributes = eight, .inputs = {a, codes8, scales}, .outputs = {y}},
      {.name = "4 bits", .attributes = four, .inputs = {a, codes4, scales}, .outputs = {y}},
      {.name = "zero points",
       .attributes = four,
       .inputs = {a, codes4, scales, a_column<uint8_t>({10, 7})},
       .outputs = {tensor<float>({2, 2}, {-3.5f, 18, -8, 42})}},
      {.name = "bfloat16, a row of A alone",
       .attributes = {{"bits", "16"}, {"k", "1"}, {"n", "3"}},
       .inputs = {tensor<float>({1}, {2}), sixteen},
       .outputs = {tensor<float>({3}, {0, 2, 4})}},
      {.name = "bias, Relu and splits",
       .attributes = with(eight, {{"program", "[0, 0, 1, 0, 24, 2, 0, 0]"}, {"splits", "[1, 1]"}}),
       .inputs = {a, codes8, scales, none, tensor<float>({2}, {-4, 1})},
       .outputs = {tensor<float>({2, 1}, {0, 3}), tensor<float>({2, 1}, {7, 13})}},
      {.name = "no rows",
       .attributes = eight,
       .inputs = {tensor<float>({0, 3}, {}), codes8, scales},
       .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "bits that do not exist", .attributes = {{"bits", "5"}}, .inputs = {a, codes8, scales}, .error = "bits is 5"},
      {.name = "another depth", .attributes = eight, .inputs = {tensor<float>({1, 2}, {1, 2}), codes8, scales}, .error = "3 rows"},
      {.name = "values of another extent",
       .attributes = {{"bits", "8"}, {"k", "3"}, {"n", "17"}},
       .inputs = {a, codes8, scales},
       .error = "values of the weight"},
      {.name = "no scales", .attributes = eight, .inputs = {a, codes8}, .error = "scales of the weight"},
      {.name = "scales of 16 bits",
       .attributes = {{"bits", "16"}, {"k", "3"}, {"n", "2"}},
       .inputs = {a, codes8, scales},
       .error = "no scales"},
      {.name = "an odd group", .attributes = with(eight, {{"group_size", "8"}}), .inputs = {a, codes8, scales}, .error = "multiple of 16"},
      {.name = "splits of another sum",
       .attributes = with(eight, {{"splits", "[1]"}}),
       .inputs = {a, codes8, scales},
       .error = "splits has 1"},
  };
}

}  // namespace cameo::ops
