#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Trilu) {
  return {
      {.name = "upper", .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6})}, .outputs = {tensor<float>({2, 3}, {1, 2, 3, 0, 5, 6})}},
      {.name = "lower, moved up",
       .attributes = {{"upper", "0"}},
       .inputs = {tensor<int64_t>({2, 3}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({}, {1})},
       .outputs = {tensor<int64_t>({2, 3}, {1, 2, 0, 4, 5, 6})}},
      {.name = "far away",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<int64_t>({}, {9223372036854775807})},
       .outputs = {tensor<float>({1, 2}, {0, 0})}},
      {.name = "batch",
       .attributes = {{"upper", "0"}},
       .inputs = {tensor<float>({2, 1, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({2, 1, 2}, {1, 0, 3, 0})}},
      {.name = "vector", .inputs = {tensor<float>({1}, {1})}, .error = "must have rank 2 or more"},
  };
}

}  // namespace cameo::ops
