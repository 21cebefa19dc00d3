#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(CastLike) {
  return {
      {.name = "float to int64",
       .inputs = {tensor<float>({2}, {1.9f, -1.9f}), tensor<int64_t>({0}, {})},
       .outputs = {tensor<int64_t>({2}, {1, -1})}},
      {.name = "float to float8 without saturation",
       .attributes = {{"saturate", "0"}},
       .inputs = {tensor<float>({1}, {1000000}), numbers(DType::kFloat8E4M3FN, {1}, {0})},
       .outputs = {numbers(DType::kFloat8E4M3FN, {1}, {NAN})}},
      {.name = "text to float",
       .inputs = {tensor<std::string>({1}, {"1.5"}), tensor<float>({}, {0})},
       .outputs = {tensor<float>({1}, {1.5f})}},
      {.name = "unknown rounding",
       .attributes = {{"round_mode", "'sideways'"}},
       .inputs = {tensor<float>({1}, {1}), tensor<float>({1}, {1})},
       .error = "round_mode is 'sideways'"},
  };
}

}  // namespace cameo::ops
