#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(BitwiseXor) {
  return {
      {.name = "int32",
       .inputs = {tensor<int32_t>({2}, {12, -1}), tensor<int32_t>({2}, {10, 5})},
       .outputs = {tensor<int32_t>({2}, {6, -6})}},
      {.name = "uint8 broadcast",
       .inputs = {tensor<uint8_t>({2}, {255, 8}), tensor<uint8_t>({}, {15})},
       .outputs = {tensor<uint8_t>({2}, {240, 7})}},
      {.name = "not for floats", .inputs = {tensor<float>({1}, {1}), tensor<float>({1}, {1})}, .error = "input 0 is float32"},
  };
}

}  // namespace cameo::ops
