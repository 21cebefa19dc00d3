#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Abs) {
  return {
      {.name = "floats", .inputs = {tensor<float>({3}, {-1.5f, 2, -0.f})}, .outputs = {tensor<float>({3}, {1.5f, 2, 0})}},
      {.name = "int8", .inputs = {tensor<int8_t>({3}, {-128, -3, 4})}, .outputs = {tensor<int8_t>({3}, {-128, 3, 4})}},
      {.name = "uint64", .inputs = {tensor<uint64_t>({1}, {UINT64_MAX})}, .outputs = {tensor<uint64_t>({1}, {UINT64_MAX})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {1}, {-2})}, .outputs = {numbers(DType::kFloat16, {1}, {2})}, .tolerance = 1e-2},
  };
}

}  // namespace cameo::ops
