#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(QuantizeLinear) {
  return {
      {.name = "one scale; halves go to even",
       .inputs = {tensor<float>({7}, {0, 2, 3, 1000, -254, -1000, 5}), tensor<float>({}, {2}), tensor<uint8_t>({}, {128})},
       .outputs = {tensor<uint8_t>({7}, {128, 129, 130, 255, 1, 0, 130})}},
      {.name = "uint8 by default",
       .inputs = {tensor<float>({2}, {1.5f, -1}), tensor<float>({}, {1})},
       .outputs = {tensor<uint8_t>({2}, {2, 0})}},
      {.name = "a scale a channel",
       .inputs = {tensor<float>({1, 2, 2}, {4, 8, 30, -40}), tensor<float>({2}, {2, 10}), tensor<int8_t>({2}, {1, 0})},
       .outputs = {tensor<int8_t>({1, 2, 2}, {3, 5, 3, -4})}},
      {.name = "blocks",
       .attributes = {{"block_size", "2"}, {"output_dtype", "22"}},
       .inputs = {tensor<float>({1, 3}, {2, 4, 60}), tensor<float>({1, 2}, {2, 20})},
       .outputs = {numbers(DType::kInt4, {1, 3}, {1, 2, 3})}},
      {.name = "int16 and uint16",
       .inputs = {tensor<float>({2}, {-1000000000, 1000000000}), tensor<float>({}, {1}), tensor<int16_t>({}, {0})},
       .outputs = {tensor<int16_t>({2}, {-32768, 32767})}},
      {.name = "uint4",
       .inputs = {tensor<float>({3}, {-1, 7, 99}), tensor<float>({}, {1}), numbers(DType::kUint4, {}, {1})},
       .outputs = {numbers(DType::kUint4, {3}, {0, 8, 15})}},
      {.name = "int2",
       .inputs = {tensor<float>({3}, {-9, 1, 9}), tensor<float>({}, {1}), numbers(DType::kInt2, {}, {0})},
       .outputs = {numbers(DType::kInt2, {3}, {-2, 1, 1})}},
      {.name = "float8 saturates",
       .inputs = {tensor<float>({2}, {1.5f, 1000}), tensor<float>({}, {0.5f}), numbers(DType::kFloat8E4M3FN, {}, {0})},
       .outputs = {numbers(DType::kFloat8E4M3FN, {2}, {3, 448})}},
      {.name = "float8 does not saturate",
       .attributes = {{"saturate", "0"}},
       .inputs = {tensor<float>({2}, {1.5f, 1000}), tensor<float>({}, {0.5f}), numbers(DType::kFloat8E4M3FN, {}, {0})},
       .outputs = {numbers(DType::kFloat8E4M3FN, {2}, {3, NAN})}},
      {.name = "float4",
       .inputs = {tensor<float>({3}, {1.2f, 2.5f, 100}), tensor<float>({}, {1}), numbers(DType::kFloat4E2M1, {}, {0})},
       .outputs = {numbers(DType::kFloat4E2M1, {3}, {1, 2, 6})}},
      {.name = "precision of the quotient",
       .attributes = {{"precision", "10"}},
       .inputs = {tensor<float>({1}, {2049.5f}), tensor<float>({}, {1}), tensor<int16_t>({}, {0})},
       .outputs = {tensor<int16_t>({1}, {2050})}},
      {.name = "int32 to int8",
       .inputs = {tensor<int32_t>({2}, {7, -1000}), tensor<float>({}, {2}), tensor<int8_t>({}, {0})},
       .outputs = {tensor<int8_t>({2}, {4, -128})}},
      {.name = "NaN and zero scale",
       .inputs = {tensor<float>({2}, {NAN, 1}), tensor<float>({}, {0})},
       .outputs = {tensor<uint8_t>({2}, {0, 255})}},
      {.name = "no elements", .inputs = {tensor<float>({0}, {}), tensor<float>({}, {1})}, .outputs = {tensor<uint8_t>({0}, {})}},
      {.name = "output_dtype against the zero point",
       .attributes = {{"output_dtype", "3"}},
       .inputs = {tensor<float>({1}, {1}), tensor<float>({}, {1}), tensor<uint8_t>({}, {0})},
       .error = "output_dtype asks for int8"},
      {.name = "no type to quantize to",
       .attributes = {{"output_dtype", "1"}},
       .inputs = {tensor<float>({1}, {1}), tensor<float>({}, {1})},
       .error = "output_dtype is 1"},
  };
}

}  // namespace cameo::ops
