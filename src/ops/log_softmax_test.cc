#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LogSoftmax) {
  return {
      {.name = "last axis",
       .inputs = {tensor<float>({1, 3}, {-1, 0, 1})},
       .outputs = {tensor<float>({1, 3}, {-2.4076059f, -1.4076059f, -0.40760596f})}},
      {.name = "large values do not overflow", .inputs = {tensor<float>({2}, {1000, 0})}, .outputs = {tensor<float>({2}, {0, -1000})}},
      {.name = "first axis",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<double>({2, 2}, {0, 1, 0, 1})},
       .outputs = {tensor<double>({2, 2}, {-0.69314718056, -0.69314718056, -0.69314718056, -0.69314718056})}},
      {.name = "version 11 sees a matrix",
       .inputs = {tensor<float>({1, 2, 2}, {0, 0, 0, 0})},
       .outputs = {tensor<float>({1, 2, 2}, {-1.3862944f, -1.3862944f, -1.3862944f, -1.3862944f})},
       .version = 11},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2}, {0, 0})},
       .outputs = {numbers(DType::kFloat16, {2}, {-0.6931, -0.6931})},
       .tolerance = 1e-3},
      {.name = "no elements", .inputs = {tensor<float>({0, 3}, {})}, .outputs = {tensor<float>({0, 3}, {})}},
      {.name = "axis out of range", .attributes = {{"axis", "2"}}, .inputs = {tensor<float>({2}, {1, 2})}, .error = "axis is 2"},
  };
}

}  // namespace cameo::ops
