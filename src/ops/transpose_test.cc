#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Transpose) {
  return {
      {.name = "reversed", .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6})}, .outputs = {tensor<float>({3, 2}, {1, 4, 2, 5, 3, 6})}},
      {.name = "perm",
       .attributes = {{"perm", "[1, 0, 2]"}},
       .inputs = {tensor<int8_t>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8})},
       .outputs = {tensor<int8_t>({2, 2, 2}, {1, 2, 5, 6, 3, 4, 7, 8})}},
      {.name = "channels last",
       .attributes = {{"perm", "[0, 2, 3, 1]"}},
       .inputs = {tensor<int64_t>({1, 2, 1, 3}, {1, 2, 3, 4, 5, 6})},
       .outputs = {tensor<int64_t>({1, 1, 3, 2}, {1, 4, 2, 5, 3, 6})}},
      {.name = "strings", .inputs = {tensor<std::string>({1, 2}, {"a", "b"})}, .outputs = {tensor<std::string>({2, 1}, {"a", "b"})}},
      {.name = "scalar", .inputs = {tensor<float>({}, {7})}, .outputs = {tensor<float>({}, {7})}},
      {.name = "empty", .inputs = {tensor<float>({2, 0, 3}, {})}, .outputs = {tensor<float>({3, 0, 2}, {})}},
      {.name = "repeated axis", .attributes = {{"perm", "[0, 0]"}}, .inputs = {tensor<float>({1, 1}, {7})}, .error = "names axis 0 twice"},
      {.name = "axis out of range",
       .attributes = {{"perm", "[0, 2]"}},
       .inputs = {tensor<float>({1, 1}, {7})},
       .error = "perm has the axis 2"},
      {.name = "wrong rank", .attributes = {{"perm", "[0]"}}, .inputs = {tensor<float>({1, 1}, {7})}, .error = "perm has 1 axes"},
  };
}

}  // namespace cameo::ops
