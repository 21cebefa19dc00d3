#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Sqrt) {
  return {
      {.name = "values", .inputs = {tensor<float>({4}, {0, 1, 2, -1})}, .outputs = {tensor<float>({4}, {0, 1, 1.41421356f, NAN})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {2})},
       .outputs = {numbers(DType::kFloat16, {1}, {1.4142135623730951})},
       .tolerance = 1e-2},
      {.name = "no elements", .inputs = {tensor<float>({0, 2}, {})}, .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
