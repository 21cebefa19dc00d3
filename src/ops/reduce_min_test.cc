#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(ReduceMin) {
  return {
      {.name = "last axis",
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {-1})},
       .outputs = {tensor<float>({3, 2, 1}, {1, -4, 5, 7, -9, 11})}},
      {.name = "middle axis, dropped",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({3, 2}, {1, -4, 5, 6, -9, 10})}},
      {.name = "first and last axis",
       .attributes = {{"keepdims", "0"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}), tensor<int64_t>({2}, {0, 2})},
       .outputs = {tensor<float>({2}, {-9, -4})}},
      {.name = "all axes by default",
       .inputs = {tensor<double>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<double>({1, 1, 1}, {-9})}},
      {.name = "empty axes and noop",
       .attributes = {{"noop_with_empty_axes", "1"}},
       .inputs = {tensor<float>({2}, {1, 4}), tensor<int64_t>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 4})}},
      {.name = "axes as attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {tensor<float>({3, 2, 2}, {1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12})},
       .outputs = {tensor<float>({1, 2, 2}, {-9, 2, 3, -4})},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {1})},
       .outputs = {numbers(DType::kFloat16, {2, 1}, {1, 3})},
       .tolerance = 1e-2},
      {.name = "a scalar", .inputs = {tensor<float>({}, {2})}, .outputs = {tensor<float>({}, {2})}},
      {.name = "an empty set",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({2, 1}, {INFINITY, INFINITY})}},
      {.name = "no output elements",
       .inputs = {tensor<float>({2, 0}, {}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {1})}, .error = "axes is 1"},
      {.name = "NaN wins", .inputs = {tensor<float>({5}, {1, NAN, 3, 4, 5})}, .outputs = {tensor<float>({1}, {NAN})}},
      {.name = "bool",
       .inputs = {tensor<bool>({2, 2}, {true, false, false, false}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<bool>({2, 1}, {false, false})}},
      {.name = "an empty set of integers", .inputs = {tensor<int8_t>({0}, {})}, .outputs = {tensor<int8_t>({1}, {127})}},
  };
}

}  // namespace cameo::ops
