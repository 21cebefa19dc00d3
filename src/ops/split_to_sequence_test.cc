#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SplitToSequence) {
  const Tensor x = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  return {
      {.name = "pieces of two and a rest",
       .attributes = {{"axis", "1"}},
       .inputs = {x, tensor<int64_t>({}, {2})},
       .outputs = {sequence({tensor<float>({2, 2}, {1, 2, 4, 5}), tensor<float>({2, 1}, {3, 6})})}},
      {.name = "given lengths",
       .attributes = {{"axis", "-1"}},
       .inputs = {x, tensor<int32_t>({3}, {0, 1, 2})},
       .outputs = {sequence({tensor<float>({2, 0}, {}), tensor<float>({2, 1}, {1, 4}), tensor<float>({2, 2}, {2, 3, 5, 6})})}},
      {.name = "without the axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {x},
       .outputs = {sequence({tensor<float>({3}, {1, 2, 3}), tensor<float>({3}, {4, 5, 6})})}},
      {.name = "nothing to split", .inputs = {tensor<std::string>({0}, {})}, .outputs = {sequence({}, DType::kString)}},
      {.name = "lengths do not add up", .inputs = {x, tensor<int64_t>({1}, {1})}, .error = "split adds up to 1; the axis has 2"},
      {.name = "lengths beyond the end",
       .inputs = {x, tensor<int64_t>({2}, {1, INT64_MAX})},
       .error = "after 1 of 2 elements along the axis"},
      {.name = "pieces of nothing", .inputs = {x, tensor<int64_t>({}, {0})}, .error = "split is 0"},
  };
}

}  // namespace cameo::ops
