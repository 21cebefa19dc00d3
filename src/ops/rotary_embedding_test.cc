#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RotaryEmbedding) {
  return {
      {.name = "halves, by position",
       .inputs = {tensor<float>({1, 1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}), tensor<float>({2, 2}, {1, 1, 0, 0.5}),
                  tensor<float>({2, 2}, {0, 0, 1, 0.5}), tensor<int64_t>({1, 2}, {1, 0})},
       .outputs = {tensor<float>({1, 1, 2, 4}, {-3, -1, 1, 3, 5, 6, 7, 8})}},
      {.name = "interleaved, part of the head, packed heads",
       .attributes = {{"interleaved", "1"}, {"rotary_embedding_dim", "2"}, {"num_heads", "2"}},
       .inputs = {tensor<float>({1, 1, 6}, {1, 2, 3, 4, 5, 6}), tensor<float>({1, 1, 1}, {0}), tensor<float>({1, 1, 1}, {1})},
       .outputs = {tensor<float>({1, 1, 6}, {-2, 1, 3, -5, 4, 6})}},
      {.name = "position out of range",
       .inputs = {tensor<float>({1, 1, 1, 2}, {1, 2}), tensor<float>({1, 1}, {1}), tensor<float>({1, 1}, {0}),
                  tensor<int64_t>({1, 1}, {1})},
       .error = "position_ids[0, 0] is 1; allowed: 0 to 0"},
      {.name = "odd head size",
       .inputs = {tensor<float>({1, 1, 1, 3}, {1, 2, 3}), tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {0})},
       .error = "the rotary dimension is 3"},
      {.name = "num_heads is missing",
       .inputs = {tensor<float>({1, 1, 2}, {1, 2}), tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {0})},
       .error = "num_heads is 0"},
  };
}

}  // namespace cameo::ops
