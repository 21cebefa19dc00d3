#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ArgMin) {
  return {
      {.name = "first axis by default", .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})}, .outputs = {tensor<int64_t>({1, 2}, {0, 0})}},
      {.name = "last axis, dropped",
       .attributes = {{"axis", "-1"}, {"keepdims", "0"}},
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 1, 2, 3})},
       .outputs = {tensor<int64_t>({2}, {0, 0})}},
      {.name = "first of equals", .inputs = {tensor<int32_t>({3}, {5, 5, 5})}, .outputs = {tensor<int64_t>({1}, {0})}},
      {.name = "last of equals",
       .attributes = {{"select_last_index", "1"}},
       .inputs = {tensor<int32_t>({3}, {5, 5, 5})},
       .outputs = {tensor<int64_t>({1}, {2})}},
      {.name = "NaN wins", .inputs = {tensor<float>({4}, {1, NAN, 0, NAN})}, .outputs = {tensor<int64_t>({1}, {1})}},
      {.name = "last NaN",
       .attributes = {{"select_last_index", "1"}},
       .inputs = {tensor<float>({4}, {1, NAN, 0, NAN})},
       .outputs = {tensor<int64_t>({1}, {3})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {2}, {2, 1})}, .outputs = {tensor<int64_t>({1}, {1})}},
      {.name = "no output",
       .attributes = {{"axis", "1"}, {"keepdims", "0"}},
       .inputs = {tensor<float>({0, 2}, {})},
       .outputs = {tensor<int64_t>({0}, {})}},
      {.name = "nothing to choose from", .inputs = {tensor<float>({0, 2}, {})}, .error = "axis 0 of the input has extent 0"},
      {.name = "axis out of range", .attributes = {{"axis", "1"}}, .inputs = {tensor<float>({2}, {1, 2})}, .error = "axis is 1"},
  };
}

}  // namespace cameo::ops
