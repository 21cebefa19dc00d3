#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MatMul) {
  return {
      {.name = "matrices",
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), tensor<float>({3, 2}, {1, 0, 0, 1, 2, 2})},
       .outputs = {tensor<float>({2, 2}, {7, 8, 16, 17})}},
      {.name = "vectors", .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({2}, {3, 4})}, .outputs = {tensor<float>({}, {11})}},
      {.name = "vector and matrix",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6})},
       .outputs = {tensor<float>({3}, {9, 12, 15})}},
      {.name = "matrix and vector",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<float>({2}, {1, 1})},
       .outputs = {tensor<float>({2}, {3, 7})}},
      {.name = "batches broadcast",
       .inputs = {tensor<float>({2, 1, 1, 2}, {1, 2, 3, 4}), tensor<float>({2, 2, 1}, {1, 0, 0, 1})},
       .outputs = {tensor<float>({2, 2, 1, 1}, {1, 2, 3, 4})}},
      {.name = "one matrix for a batch",
       .inputs = {tensor<double>({2, 1, 2}, {1, 2, 3, 4}), tensor<double>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<double>({2, 1, 2}, {7, 10, 15, 22})}},
      {.name = "int32 wraps around",
       .inputs = {tensor<int32_t>({1, 2}, {INT32_MAX, 1}), tensor<int32_t>({2, 1}, {1, 1})},
       .outputs = {tensor<int32_t>({1, 1}, {INT32_MIN})}},
      {.name = "int64",
       .inputs = {tensor<int64_t>({1, 2}, {-3, 4}), tensor<int64_t>({2, 1}, {5, 6})},
       .outputs = {tensor<int64_t>({1, 1}, {9})}},
      {.name = "half adds in float",
       .inputs = {numbers(DType::kFloat16, {1, 3}, {2048, 1, 1}), numbers(DType::kFloat16, {3, 1}, {1, 1, 1})},
       .outputs = {numbers(DType::kFloat16, {1, 1}, {2050})}},
      {.name = "no terms",
       .inputs = {tensor<float>({2, 0}, {}), tensor<float>({0, 2}, {})},
       .outputs = {tensor<float>({2, 2}, {0, 0, 0, 0})}},
      {.name = "no elements",
       .inputs = {tensor<float>({0, 2}, {}), tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "extents that do not fit",
       .inputs = {tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0}), tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0})},
       .error = "3 columns against 2 rows"},
      {.name = "scalars", .inputs = {tensor<float>({}, {0}), tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0})}, .error = "rank 1 or more"},
  };
}

}  // namespace cameo::ops
