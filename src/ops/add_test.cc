#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Add) {
  return {
      {.name = "same shape",
       .inputs = {tensor<float>({3}, {1, 2, 3}), tensor<float>({3}, {0.5f, 0, -3})},
       .outputs = {tensor<float>({3}, {1.5f, 2, 0})}},
      {.name = "both broadcast",
       .inputs = {tensor<int32_t>({2, 1}, {1, 2}), tensor<int32_t>({1, 3}, {10, 20, 30})},
       .outputs = {tensor<int32_t>({2, 3}, {11, 21, 31, 12, 22, 32})}},
      {.name = "row and matrix",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({2, 2}, {2, 4, 4, 6})}},
      {.name = "scalar", .inputs = {tensor<float>({}, {1}), tensor<float>({2, 1}, {1, 2})}, .outputs = {tensor<float>({2, 1}, {2, 3})}},
      {.name = "integers wrap around",
       .inputs = {tensor<int8_t>({1}, {127}), tensor<int8_t>({1}, {1})},
       .outputs = {tensor<int8_t>({1}, {-128})}},
      {.name = "half rounds once",
       .inputs = {numbers(DType::kFloat16, {1}, {2048}), numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {2048})}},
      {.name = "no elements", .inputs = {tensor<float>({0, 3}, {}), tensor<float>({3}, {1, 2, 3})}, .outputs = {tensor<float>({0, 3}, {})}},
      {.name = "version 6 aligns at axis",
       .attributes = {{"broadcast", "1"}, {"axis", "0"}},
       .inputs = {tensor<float>({2, 3, 1}, {1, 2, 3, 4, 5, 6}), tensor<float>({2}, {10, 20})},
       .outputs = {tensor<float>({2, 3, 1}, {11, 12, 13, 24, 25, 26})},
       .version = 6},
      {.name = "version 6 aligns at the end",
       .attributes = {{"broadcast", "1"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({2}, {10, 20})},
       .outputs = {tensor<float>({2, 2}, {11, 22, 13, 24})},
       .version = 6},
      {.name = "version 6 does not broadcast by itself",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({2}, {10, 20})},
       .error = "broadcast is 0",
       .version = 6},
      {.name = "version 6 axis out of range",
       .attributes = {{"broadcast", "1"}, {"axis", "2"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({2}, {10, 20})},
       .error = "axis is 2",
       .version = 6},
      {.name = "shapes that do not broadcast",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({3}, {1, 2, 3})},
       .error = "do not broadcast"},
      {.name = "mixed types", .inputs = {tensor<float>({1}, {1}), tensor<int32_t>({1}, {1})}, .error = "input 1 is int32"},
  };
}

}  // namespace cameo::ops
