#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Det) {
  return {
      {.name = "two by two", .inputs = {tensor<float>({2, 2}, {0, 1, 2, 3})}, .outputs = {tensor<float>({}, {-2})}},
      {.name = "a batch", .inputs = {tensor<float>({2, 2, 2}, {1, 2, 3, 4, 1, 2, 2, 4})}, .outputs = {tensor<float>({2}, {-2, 0})}},
      {.name = "no extent", .inputs = {tensor<float>({1, 0, 0}, {})}, .outputs = {tensor<float>({1}, {1})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {1, 1}, {3})}, .outputs = {numbers(DType::kFloat16, {}, {3})}},
      {.name = "not square", .inputs = {tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0})}, .error = "must be square"},
  };
}

}  // namespace cameo::ops
