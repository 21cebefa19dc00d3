#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(BitCast) {
  return {
      {.name = "float to int32",
       .attributes = {{"to", "6"}},
       .inputs = {tensor<float>({2}, {1, -2})},
       .outputs = {tensor<int32_t>({2}, {0x3f800000, static_cast<int32_t>(0xc0000000)})}},
      {.name = "int8 to uint8",
       .attributes = {{"to", "2"}},
       .inputs = {tensor<int8_t>({1}, {-1})},
       .outputs = {tensor<uint8_t>({1}, {255})}},
      {.name = "int4 to uint4 and back",
       .attributes = {{"to", "21"}},
       .inputs = {numbers(DType::kInt4, {2}, {-1, 3})},
       .outputs = {numbers(DType::kUint4, {2}, {15, 3})}},
      {.name = "uint4 to int4",
       .attributes = {{"to", "22"}},
       .inputs = {numbers(DType::kUint4, {2}, {15, 3})},
       .outputs = {numbers(DType::kInt4, {2}, {-1, 3})}},
      {.name = "no elements", .attributes = {{"to", "6"}}, .inputs = {tensor<float>({0}, {})}, .outputs = {tensor<int32_t>({0}, {})}},
      {.name = "another width",
       .attributes = {{"to", "7"}},
       .inputs = {tensor<float>({1}, {1})},
       .error = "int64 has 64 bits, but the input is float32 of 32 bits"},
      {.name = "text", .attributes = {{"to", "8"}}, .inputs = {tensor<float>({1}, {1})}, .error = "to is 8"},
  };
}

}  // namespace cameo::ops
