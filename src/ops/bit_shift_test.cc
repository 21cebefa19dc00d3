#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(BitShift) {
  return {
      {.name = "left",
       .attributes = {{"direction", "'LEFT'"}},
       .inputs = {tensor<uint8_t>({3}, {16, 4, 1}), tensor<uint8_t>({3}, {1, 2, 8})},
       .outputs = {tensor<uint8_t>({3}, {32, 16, 0})}},
      {.name = "right",
       .attributes = {{"direction", "'RIGHT'"}},
       .inputs = {tensor<uint64_t>({3}, {UINT64_MAX, 4, 1}), tensor<uint64_t>({3}, {63, 2, 64})},
       .outputs = {tensor<uint64_t>({3}, {1, 1, 0})}},
      {.name = "right copies the sign",
       .attributes = {{"direction", "'RIGHT'"}},
       .inputs = {tensor<int8_t>({4}, {-8, -8, -8, 8}), tensor<int8_t>({4}, {1, 9, -1, -1})},
       .outputs = {tensor<int8_t>({4}, {-4, -1, -1, 0})}},
      {.name = "left past the sign",
       .attributes = {{"direction", "'LEFT'"}},
       .inputs = {tensor<int32_t>({2}, {INT32_MAX, 1}), tensor<int32_t>({2}, {1, 31})},
       .outputs = {tensor<int32_t>({2}, {-2, INT32_MIN})}},
      {.name = "no direction", .inputs = {tensor<uint8_t>({1}, {1}), tensor<uint8_t>({1}, {1})}, .error = "direction is ''"},
  };
}

}  // namespace cameo::ops
