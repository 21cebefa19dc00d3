#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ReduceProd) {
  return {
      {.name = "last axis",
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {-1})},
       .outputs = {tensor<float>({3, 2, 1}, {2, -12, 30, 56, -90, 132})}},
      {.name = "middle axis, dropped",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({3, 2}, {3, -8, 35, 48, -99, 120})}},
      {.name = "first and last axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({2}, {0, 2})},
       .outputs = {tensor<float>({2}, {-5400, -88704})}},
      {.name = "all axes by default",
       .inputs = {tensor<double>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<double>({1, 1, 1}, {479001600})}},
      {.name = "empty axes and noop",
       .attributes = {{"noop_with_empty_axes", "1"}},
       .inputs = {tensor<float>({2}, {1, 4}), tensor<int64_t>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 4})}},
      {.name = "axes as attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<float>({1, 2, 2}, {-45, 120, 231, -384})},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {1})},
       .outputs = {numbers(DType::kFloat16, {2, 1}, {2, 12})},
       .tolerance = 1e-2},
      {.name = "a scalar", .inputs = {tensor<float>({}, {2})}, .outputs = {tensor<float>({}, {2})}},
      {.name = "an empty set",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({2, 1}, {1, 1})}},
      {.name = "no output elements",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {1})}, .error = "axes is 1"},
      {.name = "integers wrap around", .inputs = {tensor<int32_t>({2}, {65536, 65537})}, .outputs = {tensor<int32_t>({1}, {65536})}},
  };
}

}  // namespace cameo::ops
