#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Relu) {
  return {
      {.name = "values", .inputs = {tensor<float>({4}, {-1, 0, 2, NAN})}, .outputs = {tensor<float>({4}, {0, 0, 2, NAN})}},
      {.name = "integers", .inputs = {tensor<int8_t>({3}, {-5, 0, 7})}, .outputs = {tensor<int8_t>({3}, {0, 0, 7})}},
      {.name = "double", .inputs = {tensor<double>({2}, {-1, 3})}, .outputs = {tensor<double>({2}, {0, 3})}},
      {.name = "no elements", .inputs = {tensor<float>({0, 2}, {})}, .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "not for unsigned", .inputs = {tensor<uint8_t>({1}, {1})}, .error = "input 0 is uint8[1]"},
  };
}

}  // namespace cameo::ops
