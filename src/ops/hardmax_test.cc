#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Hardmax) {
  return {
      {.name = "last axis, first of equals",
       .inputs = {tensor<float>({2, 3}, {1, 3, 3, 2, 1, 0})},
       .outputs = {tensor<float>({2, 3}, {0, 1, 0, 1, 0, 0})}},
      {.name = "first axis",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<float>({2, 2}, {1, 3, 2, 0})},
       .outputs = {tensor<float>({2, 2}, {0, 1, 1, 0})}},
      {.name = "version 11 sees a matrix",
       .inputs = {tensor<float>({1, 2, 2}, {1, 2, 3, 0})},
       .outputs = {tensor<float>({1, 2, 2}, {0, 0, 1, 0})},
       .version = 11},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {2}, {1, 2})}, .outputs = {numbers(DType::kFloat16, {2}, {0, 1})}},
      {.name = "no elements", .inputs = {tensor<float>({2, 0}, {})}, .outputs = {tensor<float>({2, 0}, {})}},
  };
}

}  // namespace cameo::ops
