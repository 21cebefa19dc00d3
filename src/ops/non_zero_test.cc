#include <cmath>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(NonZero) {
  return {
      {.name = "matrix", .inputs = {tensor<float>({2, 2}, {1, -0.0f, NAN, 4})}, .outputs = {tensor<int64_t>({2, 3}, {0, 1, 1, 0, 0, 1})}},
      {.name = "bool", .inputs = {numbers(DType::kBool, {3}, {0, 1, 1})}, .outputs = {tensor<int64_t>({1, 2}, {1, 2})}},
      {.name = "scalar", .inputs = {tensor<float>({}, {1})}, .outputs = {tensor<int64_t>({0, 1}, {})}},
      {.name = "none", .inputs = {tensor<int8_t>({2, 1}, {0, 0})}, .outputs = {tensor<int64_t>({2, 0}, {})}},
  };
}

}  // namespace cameo::ops
