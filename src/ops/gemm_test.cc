#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Gemm) {
  return {
      {.name = "plain",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({2, 2}, {1, 0, 0, 1}), tensor<float>({2}, {10, 20})},
       .outputs = {tensor<float>({2, 2}, {11, 22, 13, 24})}},
      {.name = "transposed and scaled",
       .attributes = {{"transA", "1"}, {"transB", "1"}, {"alpha", "0.5"}, {"beta", "0.25"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({1, 2}, {1, 10}), tensor<float>({2, 1}, {1, 2})},
       .outputs = {tensor<float>({2, 1}, {15.75f, 21.5f})}},
      {.name = "without C",
       .inputs = {tensor<double>({1, 2}, {1, 2}), tensor<double>({2, 1}, {3, 4})},
       .outputs = {tensor<double>({1, 1}, {11})}},
      {.name = "column C",
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<float>({1, 2}, {1, 2}), tensor<float>({2, 1}, {10, 20})},
       .outputs = {tensor<float>({2, 2}, {11, 12, 22, 24})}},
      {.name = "integers",
       .inputs = {tensor<int32_t>({1, 2}, {1, -2}), tensor<int32_t>({2, 1}, {3, 4}), tensor<int32_t>({}, {1})},
       .outputs = {tensor<int32_t>({1, 1}, {-4})}},
      {.name = "integers scaled",
       .attributes = {{"alpha", "2"}},
       .inputs = {tensor<int32_t>({1, 2}, {1, -2}), tensor<int32_t>({2, 1}, {3, 4})},
       .outputs = {tensor<int32_t>({1, 1}, {-10})}},
      {.name = "half adds in float",
       .inputs = {numbers(DType::kFloat16, {1, 3}, {2048, 1, 1}), numbers(DType::kFloat16, {3, 1}, {1, 1, 1})},
       .outputs = {numbers(DType::kFloat16, {1, 1}, {2050})}},
      {.name = "no terms",
       .inputs = {tensor<float>({1, 0}, {}), tensor<float>({0, 2}, {}), tensor<float>({1}, {3})},
       .outputs = {tensor<float>({1, 2}, {3, 3})}},
      {.name = "extents that do not fit",
       .inputs = {tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0}), tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0})},
       .error = "3 columns against 2 rows"},
      {.name = "C that does not fit",
       .inputs = {tensor<float>({2, 1}, {0, 0}), tensor<float>({1, 3}, {0, 0, 0}), tensor<float>({3, 3}, {0, 0, 0, 0, 0, 0, 0, 0, 0})},
       .error = "broadcast"},
      {.name = "C that would grow the product",
       .inputs = {tensor<float>({1, 1}, {0}), tensor<float>({1, 3}, {0, 0, 0}), tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0})},
       .error = "C of shape [2, 3]"},
      {.name = "no matrix", .inputs = {tensor<float>({3}, {0, 0, 0}), tensor<float>({1, 3}, {0, 0, 0})}, .error = "must be a matrix"},
  };
}

}  // namespace cameo::ops
