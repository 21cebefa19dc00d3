#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Softmax) {
  return {
      {.name = "last axis", .inputs = {tensor<float>({1, 3}, {0, 0, 0})}, .outputs = {tensor<float>({1, 3}, {1 / 3.f, 1 / 3.f, 1 / 3.f})}},
      {.name = "large values do not overflow",
       .inputs = {tensor<float>({2}, {1000, 999})},
       .outputs = {tensor<float>({2}, {0.7310586f, 0.26894143f})}},
      {.name = "first axis",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<double>({2, 2}, {0, 1, 0, 0})},
       .outputs = {tensor<double>({2, 2}, {0.5, 0.7310585786, 0.5, 0.2689414214})}},
      {.name = "version 11 sees a matrix",
       .inputs = {tensor<float>({1, 2, 2}, {0, 0, 0, 0})},
       .outputs = {tensor<float>({1, 2, 2}, {0.25f, 0.25f, 0.25f, 0.25f})},
       .version = 11},
      {.name = "no elements", .inputs = {tensor<float>({0, 3}, {})}, .outputs = {tensor<float>({0, 3}, {})}},
      {.name = "axis out of range", .attributes = {{"axis", "2"}}, .inputs = {tensor<float>({2}, {1, 2})}, .error = "axis is 2"},
      {.name = "not for integers", .inputs = {tensor<int32_t>({2}, {1, 2})}, .error = "input 0 is int32[2]"},
  };
}

}  // namespace cameo::ops
