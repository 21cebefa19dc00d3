#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Range) {
  return {
      {.name = "up",
       .inputs = {tensor<int64_t>({}, {1}), tensor<int64_t>({}, {5}), tensor<int64_t>({}, {2})},
       .outputs = {tensor<int64_t>({2}, {1, 3})}},
      {.name = "down",
       .inputs = {tensor<int32_t>({}, {10}), tensor<int32_t>({}, {6}), tensor<int32_t>({}, {-3})},
       .outputs = {tensor<int32_t>({2}, {10, 7})}},
      {.name = "nothing",
       .inputs = {tensor<int64_t>({}, {5}), tensor<int64_t>({}, {1}), tensor<int64_t>({}, {1})},
       .outputs = {tensor<int64_t>({0}, {})}},
      {.name = "floats",
       .inputs = {tensor<float>({}, {0}), tensor<float>({}, {1}), tensor<float>({}, {0.4f})},
       .outputs = {tensor<float>({3}, {0, 0.4f, 0.8f})}},
      {.name = "bfloat16 accumulates in float",
       .inputs = {numbers(DType::kBfloat16, {}, {256}), numbers(DType::kBfloat16, {}, {259}), numbers(DType::kBfloat16, {}, {1})},
       .outputs = {numbers(DType::kBfloat16, {4}, {256, 256, 258, 260})},
       .tolerance = 0},
      {.name = "delta 0", .inputs = {tensor<int64_t>({}, {5}), tensor<int64_t>({}, {1}), tensor<int64_t>({}, {0})}, .error = "delta is 0"},
      {.name = "float delta 0",
       .inputs = {tensor<float>({}, {0}), tensor<float>({}, {1}), tensor<float>({}, {0})},
       .error = "give no number of elements"},
      {.name = "too long",
       .inputs = {tensor<int64_t>({}, {-9223372036854775807}), tensor<int64_t>({}, {9223372036854775807}), tensor<int64_t>({}, {1})},
       .error = "too many elements"},
  };
}

}  // namespace cameo::ops
