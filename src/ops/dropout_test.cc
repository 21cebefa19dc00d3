#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Dropout) {
  return {
      {.name = "inference",
       .inputs = {tensor<float>({3}, {1, 2, 3})},
       .outputs = {tensor<float>({3}, {1, 2, 3}), numbers(DType::kBool, {3}, {1, 1, 1})}},
      {.name = "version 7 has a mask of floats",
       .inputs = {tensor<float>({2}, {1, 2})},
       .outputs = {tensor<float>({2}, {1, 2}), tensor<float>({2}, {1, 1})},
       .version = 7},
      {.name = "training draws the numbers of numpy",
       .attributes = {{"seed", "0"}},
       .inputs = {tensor<float>({4}, {1, 2, 3, 4}), tensor<float>({}, {0.6f}), numbers(DType::kBool, {}, {1})},
       .outputs = {tensor<float>({4}, {0, 5, 7.5f, 0}), numbers(DType::kBool, {4}, {0, 1, 1, 0})}},
      {.name = "ratio out of range",
       .inputs = {tensor<float>({1}, {1}), tensor<float>({}, {1}), numbers(DType::kBool, {}, {1})},
       .error = "ratio is 1"},
  };
}

}  // namespace cameo::ops
