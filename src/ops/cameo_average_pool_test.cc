#include "ops/cameo_op_test.h"

namespace cameo::ops {

CAMEO_OP_TEST(AveragePool) {
  return {
      {.name = "padding does not count",
       .attributes = {{"kernel_shape", "[3]"}, {"pads", "[1, 1]"}},
       .inputs = {tensor<float>({1, 3, 2}, {1, 10, 2, 20, 6, 60})},
       .outputs = {tensor<float>({1, 3, 2}, {1.5, 15, 3, 30, 4, 40})}},
      {.name = "padding counts",
       .attributes = {{"kernel_shape", "[3]"}, {"pads", "[1, 1]"}, {"count_include_pad", "1"}},
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 6})},
       .outputs = {tensor<float>({1, 3, 1}, {1, 3, 8 / 3.f})}},
      {.name = "what ceil_mode adds does not count",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[2]"}, {"ceil_mode", "1"}, {"count_include_pad", "1"}},
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 6})},
       .outputs = {tensor<float>({1, 2, 1}, {1.5, 6})}},
      {.name = "two axes",
       .attributes = {{"kernel_shape", "[2, 2]"}},
       .inputs = {tensor<float>({1, 2, 2, 2}, {1, 2, 3, 2, 5, 2, 7, 4})},
       .outputs = {tensor<float>({1, 1, 1, 2}, {4, 2.5})}},
      {.name = "no samples",
       .attributes = {{"kernel_shape", "[1]"}},
       .inputs = {tensor<float>({0, 3, 1}, {})},
       .outputs = {tensor<float>({0, 3, 1}, {})}},
      {.name = "window too large",
       .attributes = {{"kernel_shape", "[4]"}},
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 3})},
       .error = "does not fit"},
  };
}

}  // namespace cameo::ops
