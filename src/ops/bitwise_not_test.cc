#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(BitwiseNot) {
  return {
      {.name = "int32", .inputs = {tensor<int32_t>({2}, {0, 5})}, .outputs = {tensor<int32_t>({2}, {-1, -6})}},
      {.name = "uint8", .inputs = {tensor<uint8_t>({2}, {0, 5})}, .outputs = {tensor<uint8_t>({2}, {255, 250})}},
      {.name = "not for floats", .inputs = {tensor<float>({1}, {1})}, .error = "input 0 is float32"},
  };
}

}  // namespace cameo::ops
