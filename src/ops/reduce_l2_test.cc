#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ReduceL2) {
  return {
      {.name = "last axis",
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {-1})},
       .outputs = {tensor<float>({3, 2, 1}, {2.23606798f, 5, 7.81024968f, 10.6301458f, 13.453624f, 16.2788206f})}},
      {.name = "middle axis, dropped",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({3, 2}, {3.16227766f, 4.47213595f, 8.60232527f, 10, 14.2126704f, 15.6204994f})}},
      {.name = "first and last axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({2}, {0, 2})},
       .outputs = {tensor<float>({2}, {15.7162336f, 20.0748599f})}},
      {.name = "all axes by default",
       .inputs = {tensor<double>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<double>({1, 1, 1}, {25.495097567963924})}},
      {.name = "empty axes and noop",
       .attributes = {{"noop_with_empty_axes", "1"}},
       .inputs = {tensor<float>({2}, {1, 4}), tensor<int64_t>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 4})}},
      {.name = "axes as attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<float>({1, 2, 2}, {10.3440804f, 11.8321596f, 13.3790882f, 14.9666295f})},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {1})},
       .outputs = {numbers(DType::kFloat16, {2, 1}, {2.23606797749979, 5})},
       .tolerance = 1e-2},
      {.name = "a scalar", .inputs = {tensor<float>({}, {2})}, .outputs = {tensor<float>({}, {2})}},
      {.name = "an empty set",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({2, 1}, {0, 0})}},
      {.name = "no output elements",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {1})}, .error = "axes is 1"},
      {.name = "integers are cut", .inputs = {tensor<int32_t>({2}, {-3, 3})}, .outputs = {tensor<int32_t>({1}, {4})}},
  };
}

}  // namespace cameo::ops
