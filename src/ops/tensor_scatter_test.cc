#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(TensorScatter) {
  return {
      {.name = "linear",
       .inputs = {tensor<float>({2, 3, 1}, {1, 2, 3, 4, 5, 6}), tensor<float>({2, 1, 1}, {8, 9}), tensor<int64_t>({2}, {0, 2})},
       .outputs = {tensor<float>({2, 3, 1}, {8, 2, 3, 4, 5, 9})}},
      {.name = "circular",
       .attributes = {{"mode", "'circular'"}},
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 3}), tensor<float>({1, 2, 1}, {8, 9}), tensor<int64_t>({1}, {9223372036854775804})},
       .outputs = {tensor<float>({1, 3, 1}, {1, 8, 9})}},
      {.name = "from the start",
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<float>({1, 1, 1}, {8})},
       .outputs = {tensor<float>({1, 2, 1}, {8, 2})}},
      {.name = "beyond the end",
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<float>({1, 1, 1}, {8}), tensor<int64_t>({1}, {2})},
       .error = "write_indices[0] is 2"},
      {.name = "update too long",
       .inputs = {tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 2, 1}, {8, 8})},
       .error = "update has 2 positions"},
  };
}

}  // namespace cameo::ops
