#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LayerNormalization) {
  return {
      {.name = "last axis, all outputs",
       .attributes = {{"epsilon", "0"}},
       .inputs = {tensor<float>({2, 2}, {1, 3, 10, 50}), tensor<float>({2}, {1, 2}), tensor<float>({2}, {0, 1})},
       .outputs = {tensor<float>({2, 2}, {-1, 3, -1, 3}), tensor<float>({2, 1}, {2, 30}), tensor<float>({2, 1}, {1, 0.05f})}},
      {.name = "all axes, no bias",
       .attributes = {{"epsilon", "0"}, {"axis", "0"}},
       .inputs = {tensor<double>({2, 2}, {1, 1, 3, 3}), tensor<double>({1}, {2})},
       .outputs = {tensor<double>({2, 2}, {-2, -2, 2, 2})}},
      {.name = "scale differs from row to row",
       .attributes = {{"epsilon", "0"}},
       .inputs = {tensor<float>({2, 2}, {1, 3, 1, 3}), tensor<float>({2, 1}, {1, 10}), tensor<float>({2, 2}, {0, 1, 2, 3})},
       .outputs = {tensor<float>({2, 2}, {-1, 2, -8, 13})}},
      {.name = "large mean",
       .attributes = {{"epsilon", "0"}},
       .inputs = {tensor<float>({2}, {100000, 100002}), tensor<float>({2}, {1, 1})},
       .outputs = {tensor<float>({2}, {-1, 1})}},
      {.name = "bfloat16 moments",
       .attributes = {{"epsilon", "0"}, {"stash_type", "16"}},
       .inputs = {numbers(DType::kBfloat16, {1, 2}, {1, 3}), numbers(DType::kBfloat16, {2}, {1, 1})},
       .outputs = {numbers(DType::kBfloat16, {1, 2}, {-1, 1}), numbers(DType::kBfloat16, {1, 1}, {2})}},
      {.name = "empty rows", .inputs = {tensor<float>({2, 0}, {}), tensor<float>({1}, {1})}, .outputs = {tensor<float>({2, 0}, {})}},
      {.name = "scale of another length",
       .inputs = {tensor<float>({1, 2}, {1, 3}), tensor<float>({3}, {1, 1, 1})},
       .error = "scale of shape [3] does not broadcast to [1, 2]"},
      {.name = "axis out of range",
       .attributes = {{"axis", "2"}},
       .inputs = {tensor<float>({1, 2}, {1, 3}), tensor<float>({2}, {1, 1})},
       .error = "axis is 2"},
  };
}

}  // namespace cameo::ops
