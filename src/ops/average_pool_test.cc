#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(AveragePool) {
  return {
      {.name = "padding does not count",
       .attributes = {{"kernel_shape", "[3]"}, {"pads", "[1, 1]"}},
       .inputs = {tensor<float>({1, 1, 3}, {1, 2, 6})},
       .outputs = {tensor<float>({1, 1, 3}, {1.5, 3, 4})}},
      {.name = "padding counts",
       .attributes = {{"kernel_shape", "[3]"}, {"pads", "[1, 1]"}, {"count_include_pad", "1"}},
       .inputs = {tensor<float>({1, 1, 3}, {1, 2, 6})},
       .outputs = {tensor<float>({1, 1, 3}, {1, 3, 8 / 3.f})}},
      {.name = "what ceil_mode adds does not count",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[2]"}, {"ceil_mode", "1"}, {"count_include_pad", "1"}},
       .inputs = {tensor<float>({1, 1, 3}, {1, 2, 6})},
       .outputs = {tensor<float>({1, 1, 2}, {1.5, 6})}},
      {.name = "two axes, two channels",
       .attributes = {{"kernel_shape", "[2, 2]"}, {"auto_pad", "'SAME_UPPER'"}},
       .inputs = {tensor<double>({1, 2, 2, 2}, {1, 3, 5, 7, 2, 2, 2, 4})},
       .outputs = {tensor<double>({1, 2, 2, 2}, {4, 5, 6, 7, 2.5, 3, 3, 4})}},
      {.name = "bfloat16",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {numbers(DType::kBfloat16, {1, 1, 2}, {1, 2})},
       .outputs = {numbers(DType::kBfloat16, {1, 1, 1}, {1.5})}},
      {.name = "unknown auto_pad",
       .attributes = {{"kernel_shape", "[1]"}, {"auto_pad", "'SAME'"}},
       .inputs = {tensor<float>({1, 1, 1}, {1})},
       .error = "auto_pad is 'SAME'"},
  };
}

}  // namespace cameo::ops
