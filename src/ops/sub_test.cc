#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Sub) {
  return {
      {.name = "floats", .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({}, {0.5f})}, .outputs = {tensor<float>({2}, {0.5f, 1.5f})}},
      {.name = "unsigned wrap around",
       .inputs = {tensor<uint8_t>({1}, {1}), tensor<uint8_t>({1}, {2})},
       .outputs = {tensor<uint8_t>({1}, {255})}},
      {.name = "bfloat16",
       .inputs = {numbers(DType::kBfloat16, {1}, {3}), numbers(DType::kBfloat16, {1}, {1})},
       .outputs = {numbers(DType::kBfloat16, {1}, {2})}},
  };
}

}  // namespace cameo::ops
