#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceLogSumExp) {
  return {
      {.name = "last axis",
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {-1})},
       .outputs = {tensor<float>({3, 2, 1}, {2.31326169f, 3.00091147f, 6.31326169f, 8.31326169f, 10, 12.3132617f})}},
      {.name = "middle axis, dropped",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({3, 2}, {3.12692801f, 2.00247569f, 7.12692801f, 8.12692801f, 11, 12.126928f})}},
      {.name = "first and last axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({2}, {0, 2})},
       .outputs = {tensor<float>({2}, {10.0251925f, 12.3315003f})}},
      {.name = "all axes by default",
       .inputs = {tensor<double>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<double>({1, 1, 1}, {12.42647261001352})}},
      {.name = "empty axes and noop",
       .attributes = {{"noop_with_empty_axes", "1"}},
       .inputs = {tensor<float>({2}, {1, 4}), tensor<int64_t>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 4})}},
      {.name = "axes as attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<float>({1, 2, 2}, {5.01815074f, 10.0184793f, 11.0184793f, 12.01815f})},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {1})},
       .outputs = {numbers(DType::kFloat16, {2, 1}, {2.3132616875182226, 4.313261687518223})},
       .tolerance = 1e-2},
      {.name = "a scalar", .inputs = {tensor<float>({}, {2})}, .outputs = {tensor<float>({}, {2})}},
      {.name = "an empty set",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({2, 1}, {-INFINITY, -INFINITY})}},
      {.name = "no output elements",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {1})}, .error = "axes is 1"},
      {.name = "large and infinite",
       .attributes = {{"axes", "[1]"}},
       .inputs = {tensor<float>({2, 2}, {1000, 1000, -INFINITY, -INFINITY})},
       .outputs = {tensor<float>({2, 1}, {1000.69315f, -INFINITY})},
       .version = 13},
      {.name = "NaN and infinity",
       .attributes = {{"axes", "[1]"}},
       .inputs = {tensor<float>({2, 2}, {1, NAN, INFINITY, 1})},
       .outputs = {tensor<float>({2, 1}, {NAN, INFINITY})},
       .version = 13},
  };
}

}  // namespace cameo::ops
