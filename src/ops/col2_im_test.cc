#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Col2Im) {
  return {
      {.name = "overlapping blocks add up",
       .inputs = {tensor<float>({1, 2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {3}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<float>({1, 1, 3}, {1, 5, 4})}},
      {.name = "pads and strides",
       .attributes = {{"pads", "[1, 0]"}, {"strides", "[2]"}},
       .inputs = {tensor<int32_t>({1, 2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {3}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<int32_t>({1, 1, 3}, {3, 2, 4})}},
      {.name = "wrong number of blocks",
       .inputs = {tensor<float>({1, 2, 3}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({1}, {3}), tensor<int64_t>({1}, {2})},
       .error = "3 blocks, but the window has 2"},
      {.name = "block too large",
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<int64_t>({1}, {1}), tensor<int64_t>({1}, {2})},
       .error = "does not fit an image of 1"},
      {.name = "channels do not divide",
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 3}), tensor<int64_t>({1}, {2}), tensor<int64_t>({1}, {2})},
       .error = "no multiple of the block's 2"},
      {.name = "stride 0",
       .attributes = {{"strides", "[0]"}},
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<int64_t>({1}, {2}), tensor<int64_t>({1}, {2})},
       .error = "stride 0"},
  };
}

}  // namespace cameo::ops
