#include "ops/op_test.h"

namespace cameo::ops {
namespace {

template <class T>
Tensor filled(const Dims& dims, const std::vector<T>& values) {
  Tensor t = Tensor::allocate(dtype_of<T>(), dims).value();
  std::copy(values.begin(), values.end(), t.data<T>());
  return t;
}

std::vector<OpCase> cases() {
  // One column: the codes 8, 9, 8, … of the first block of 16 (values 0, 1 times 0.5) and 10 of the second (2 times 2).
  std::vector<uint8_t> codes(16, 0x98);
  for (size_t i = 8; i < 16; ++i) codes[i] = 0xaa;
  const std::vector<float> ones(32, 1);
  const std::vector<std::pair<std::string, std::string>> four = {{"K", "32"}, {"N", "1"}, {"bits", "4"}, {"block_size", "16"}};
  std::vector<uint8_t> bytes(16, 130);
  return {
      {.name = "4 bits",
       .attributes = four,
       .inputs = {filled<float>({1, 32}, ones), filled<uint8_t>({1, 2, 8}, codes), tensor<float>({2}, {0.5f, 2})},
       .outputs = {tensor<float>({1, 1}, {68})}},
      {.name = "zero points",
       .attributes = four,
       .inputs = {filled<float>({32}, ones), filled<uint8_t>({1, 2, 8}, codes), tensor<float>({1, 2}, {1, 1}),
                  tensor<uint8_t>({1}, {0xa8})},
       .outputs = {tensor<float>({1}, {8})}},
      {.name = "8 bits, an unfinished block",
       .attributes = {{"K", "3"}, {"N", "1"}, {"bits", "8"}, {"block_size", "16"}},
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), filled<uint8_t>({1, 1, 16}, bytes), tensor<float>({1}, {0.5f})},
       .outputs = {tensor<float>({2, 1}, {6, 15})}},
      {.name = "too few codes",
       .attributes = four,
       .inputs = {filled<float>({1, 32}, ones), filled<uint8_t>({1, 1, 8}, std::vector<uint8_t>(8)), tensor<float>({2}, {1, 1})},
       .error = "B has 8 bytes"},
      {.name = "3 bits",
       .attributes = {{"K", "32"}, {"N", "1"}, {"bits", "3"}, {"block_size", "16"}},
       .inputs = {filled<float>({1, 32}, ones), filled<uint8_t>({1, 2, 8}, codes), tensor<float>({2}, {1, 1})},
       .error = "bits is 3"},
      {.name = "a strange block",
       .attributes = {{"K", "32"}, {"N", "1"}, {"bits", "4"}, {"block_size", "0"}},
       .inputs = {filled<float>({1, 32}, ones), filled<uint8_t>({1, 2, 8}, codes), tensor<float>({2}, {1, 1})},
       .error = "block_size is 0"},
      {.name = "rows that do not fit",
       .attributes = four,
       .inputs = {filled<float>({1, 31}, std::vector<float>(31)), filled<uint8_t>({1, 2, 8}, codes), tensor<float>({2}, {1, 1})},
       .error = "31"},
  };
}

}  // namespace

OP_TEST(MatMulNBits) {
  std::vector<OpCase> all = cases();
  for (OpCase& c : all) c.domain = "com.microsoft";
  return all;
}

}  // namespace cameo::ops
