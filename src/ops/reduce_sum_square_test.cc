#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ReduceSumSquare) {
  return {
      {.name = "last axis",
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {-1})},
       .outputs = {tensor<float>({3, 2, 1}, {5, 25, 61, 113, 181, 265})}},
      {.name = "middle axis, dropped",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({3, 2}, {10, 20, 74, 100, 202, 244})}},
      {.name = "first and last axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({2}, {0, 2})},
       .outputs = {tensor<float>({2}, {247, 403})}},
      {.name = "all axes by default",
       .inputs = {tensor<double>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<double>({1, 1, 1}, {650})}},
      {.name = "empty axes and noop",
       .attributes = {{"noop_with_empty_axes", "1"}},
       .inputs = {tensor<float>({2}, {1, 4}), tensor<int64_t>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 16})}},
      {.name = "axes as attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<float>({1, 2, 2}, {107, 140, 179, 224})},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {1})},
       .outputs = {numbers(DType::kFloat16, {2, 1}, {5, 25})},
       .tolerance = 1e-2},
      {.name = "a scalar", .inputs = {tensor<float>({}, {2})}, .outputs = {tensor<float>({}, {4})}},
      {.name = "an empty set",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({2, 1}, {0, 0})}},
      {.name = "no output elements",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {1})}, .error = "axes is 1"},
      {.name = "integers", .inputs = {tensor<int32_t>({2}, {-3, 3})}, .outputs = {tensor<int32_t>({1}, {18})}},
  };
}

}  // namespace cameo::ops
