#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Erf) {
  return {
      {.name = "values",
       .inputs = {tensor<float>({4}, {0, 0.5f, -1, 9})},
       .outputs = {tensor<float>({4}, {0, 0.520499878f, -0.842700793f, 1})}},
      {.name = "integers", .inputs = {tensor<int32_t>({3}, {-3, 0, 7})}, .outputs = {tensor<int32_t>({3}, {0, 0, 1})}, .version = 9},
      {.name = "bfloat16",
       .inputs = {numbers(DType::kBfloat16, {1}, {0.5})},
       .outputs = {numbers(DType::kBfloat16, {1}, {0.5204998778130465})},
       .tolerance = 1e-2},
  };
}

}  // namespace cameo::ops
