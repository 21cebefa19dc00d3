#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(AffineGrid) {
  return {
      {.name = "identity",
       .inputs = {tensor<float>({1, 2, 3}, {1, 0, 0, 0, 1, 0}), tensor<int64_t>({4}, {1, 1, 1, 2})},
       .outputs = {tensor<float>({1, 1, 2, 2}, {-0.5f, 0, 0.5f, 0})}},
      {.name = "aligned corners, moved",
       .attributes = {{"align_corners", "1"}},
       .inputs = {tensor<float>({1, 2, 3}, {1, 0, 0.5f, 0, 1, 0}), tensor<int64_t>({4}, {1, 1, 2, 1})},
       .outputs = {tensor<float>({1, 2, 1, 2}, {0.5f, -1, 0.5f, 1})}},
      {.name = "no element",
       .inputs = {tensor<float>({1, 2, 3}, {1, 0, 0, 0, 1, 0}), tensor<int64_t>({4}, {1, 1, 0, 2})},
       .outputs = {tensor<float>({1, 0, 2, 2}, {})}},
      {.name = "wrong theta",
       .inputs = {tensor<float>({1, 2, 2}, {1, 0, 0, 1}), tensor<int64_t>({4}, {1, 1, 1, 1})},
       .error = "theta has shape [1, 2, 2]; [1, 2, 3] is expected"},
      {.name = "wrong size",
       .inputs = {tensor<float>({1, 2, 3}, {1, 0, 0, 0, 1, 0}), tensor<int64_t>({3}, {1, 1, 1})},
       .error = "size has 3 extents"},
  };
}

}  // namespace cameo::ops
