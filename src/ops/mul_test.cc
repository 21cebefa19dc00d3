#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Mul) {
  return {
      {.name = "floats",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({2, 1}, {0.5f, 2})},
       .outputs = {tensor<float>({2, 2}, {0.5f, 1, 2, 4})}},
      {.name = "uint16 wraps around",
       .inputs = {tensor<uint16_t>({1}, {65535}), tensor<uint16_t>({1}, {65535})},
       .outputs = {tensor<uint16_t>({1}, {1})}},
      {.name = "int64 wraps around",
       .inputs = {tensor<int64_t>({1}, {INT64_MAX}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<int64_t>({1}, {-2})}},
  };
}

}  // namespace cameo::ops
