#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MaxUnpool) {
  return {
      {.name = "the inverse of MaxPool",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[2]"}},
       .inputs = {tensor<float>({1, 2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1, 2, 2}, {1, 2, 4, 7})},
       .outputs = {tensor<float>({1, 2, 4}, {0, 1, 2, 0, 3, 0, 0, 4})}},
      {.name = "output_shape",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[2]"}},
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<int64_t>({1, 2, 1}, {1, 2}), tensor<int64_t>({3}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 2, 3}, {0, 1, 0, 2, 0, 0})}},
      {.name = "index out of range",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), tensor<int64_t>({1, 1, 1}, {2})},
       .error = "index 0 is 2; allowed: 0 to 1"},
      {.name = "output_shape too small",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), tensor<int64_t>({1, 1, 1}, {0}), tensor<int64_t>({3}, {1, 1, 1})},
       .error = "output_shape is [1, 1, 1], but the unpooled extents are [1, 1, 2]"},
  };
}

}  // namespace cameo::ops
