#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ConstantOfShape) {
  return {
      {.name = "zeros", .inputs = {tensor<int64_t>({2}, {2, 1})}, .outputs = {tensor<float>({2, 1}, {0, 0})}},
      {.name = "scalar", .inputs = {tensor<int64_t>({0}, {})}, .outputs = {tensor<float>({}, {0})}},
      {.name = "empty", .inputs = {tensor<int64_t>({1}, {0})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "negative", .inputs = {tensor<int64_t>({1}, {-1})}, .error = "negative extent -1"},
      {.name = "overflowing", .inputs = {tensor<int64_t>({2}, {4611686018427387904, 4})}, .error = "too many elements"},
  };
}

}  // namespace cameo::ops
