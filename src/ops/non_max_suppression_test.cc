#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(NonMaxSuppression) {
  return {
      {.name = "overlapping boxes",
       .inputs = {tensor<float>({1, 3, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 0, 10, 1, 11}), tensor<float>({1, 1, 3}, {0.9f, 0.95f, 0.5f}),
                  tensor<int64_t>({1}, {3}), tensor<float>({1}, {0.5f})},
       .outputs = {tensor<int64_t>({2, 3}, {0, 0, 1, 0, 0, 2})}},
      {.name = "centers and a score threshold",
       .attributes = {{"center_point_box", "1"}},
       .inputs = {tensor<float>({1, 2, 4}, {0.5f, 0.5f, 1, 1, 0.5f, 10.5f, 1, 1}), tensor<float>({1, 1, 2}, {0.9f, 0.1f}),
                  tensor<int64_t>({}, {3}), tensor<float>({}, {0.5f}), tensor<float>({}, {0.2f})},
       .outputs = {tensor<int64_t>({1, 3}, {0, 0, 0})}},
      {.name = "no limit means none",
       .inputs = {tensor<float>({1, 1, 4}, {0, 0, 1, 1}), tensor<float>({1, 1, 1}, {0.9f})},
       .outputs = {tensor<int64_t>({0, 3}, {})}},
      {.name = "numbers of boxes differ",
       .inputs = {tensor<float>({1, 1, 4}, {0, 0, 1, 1}), tensor<float>({1, 1, 2}, {0.9f, 1})},
       .error = "the last extent of scores: 2 where 1 is expected"},
      {.name = "threshold out of range",
       .inputs = {tensor<float>({1, 1, 4}, {0, 0, 1, 1}), tensor<float>({1, 1, 1}, {0.9f}), tensor<int64_t>({1}, {3}),
                  tensor<float>({1}, {2})},
       .error = "iou_threshold is 2"},
  };
}

}  // namespace cameo::ops
