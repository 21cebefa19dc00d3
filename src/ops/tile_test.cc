#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Tile) {
  return {
      {.name = "both axes",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<int64_t>({2}, {2, 2})},
       .outputs = {tensor<float>({2, 4}, {1, 2, 1, 2, 1, 2, 1, 2})}},
      {.name = "zero times", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "scalar", .inputs = {tensor<float>({}, {1}), tensor<int64_t>({0}, {})}, .outputs = {tensor<float>({}, {1})}},
      {.name = "negative", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {-1})}, .error = "negative entry -1"},
      {.name = "wrong length", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({2}, {1, 1})}, .error = "repeats has 2 entries"},
      {.name = "overflowing",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {9223372036854775807})},
       .error = "the limit is 2^62"},
  };
}

}  // namespace cameo::ops
