#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Greater) {
  return {
      {.name = "floats; NaN compares false",
       .inputs = {tensor<float>({4}, {1, 2, 3, NAN}), tensor<float>({}, {2})},
       .outputs = {tensor<bool>({4}, {false, false, true, false})}},
      {.name = "uint64",
       .inputs = {tensor<uint64_t>({2}, {5, UINT64_MAX}), tensor<uint64_t>({1}, {5})},
       .outputs = {tensor<bool>({2}, {false, true})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1}), numbers(DType::kFloat16, {1}, {2})},
       .outputs = {tensor<bool>({1}, {false})}},
      {.name = "not for bool", .inputs = {tensor<bool>({1}, {true}), tensor<bool>({1}, {true})}, .error = "input 0 is bool[1]"},
  };
}

}  // namespace cameo::ops
