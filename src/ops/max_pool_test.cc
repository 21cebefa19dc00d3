#include <cmath>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MaxPool) {
  return {
      {.name = "values and indices",
       .attributes = {{"kernel_shape", "[2, 2]"}, {"strides", "[2, 2]"}},
       .inputs = {tensor<float>({1, 1, 2, 4}, {1, 5, 3, 3, 2, 4, 3, 0})},
       .outputs = {tensor<float>({1, 1, 1, 2}, {5, 3}), tensor<int64_t>({1, 1, 1, 2}, {1, 2})}},
      {.name = "column-major indices count over all channels",
       .attributes = {{"kernel_shape", "[1, 2]"}, {"storage_order", "1"}},
       .inputs = {tensor<float>({1, 2, 2, 2}, {1, 2, 3, 4, 8, 7, 6, 5})},
       .outputs = {tensor<float>({1, 2, 2, 1}, {2, 4, 8, 6}), tensor<int64_t>({1, 2, 2, 1}, {2, 3, 4, 5})}},
      {.name = "padding never wins",
       .attributes = {{"kernel_shape", "[3]"}, {"pads", "[1, 1]"}},
       .inputs = {tensor<float>({1, 1, 3}, {-3, -2, -5})},
       .outputs = {tensor<float>({1, 1, 3}, {-2, -2, -2})}},
      {.name = "ceil_mode leaves out a window that starts in the padding",
       .attributes = {{"kernel_shape", "[1]"}, {"strides", "[2]"}, {"ceil_mode", "1"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 2})},
       .outputs = {tensor<float>({1, 1, 1}, {1})}},
      {.name = "ceil_mode",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[2]"}, {"ceil_mode", "1"}},
       .inputs = {tensor<int8_t>({1, 1, 3}, {-100, -128, -128})},
       .outputs = {tensor<int8_t>({1, 1, 2}, {-100, -128}), tensor<int64_t>({1, 1, 2}, {0, 2})}},
      {.name = "ceil_mode without padding by auto_pad",
       .attributes = {{"kernel_shape", "[2]"}, {"strides", "[3]"}, {"ceil_mode", "1"}, {"auto_pad", "'VALID'"}},
       .inputs = {tensor<float>({1, 1, 4}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({1, 1, 2}, {2, 4})}},
      {.name = "SAME with strides beyond the kernel needs no padding",
       .attributes = {{"kernel_shape", "[1]"}, {"strides", "[3]"}, {"auto_pad", "'SAME_UPPER'"}},
       .inputs = {tensor<float>({1, 1, 6}, {1, 2, 3, 4, 5, 6})},
       .outputs = {tensor<float>({1, 1, 2}, {1, 4})}},
      {.name = "dilation",
       .attributes = {{"kernel_shape", "[2]"}, {"dilations", "[2]"}},
       .inputs = {tensor<double>({1, 1, 4}, {4, 9, 3, 1})},
       .outputs = {tensor<double>({1, 1, 2}, {4, 9})}},
      {.name = "NaN wins",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {tensor<float>({1, 1, 4}, {1, NAN, 3, 4})},
       .outputs = {tensor<float>({1, 1, 3}, {NAN, NAN, 4})}},
      {.name = "a huge kernel costs nothing",
       .attributes = {{"kernel_shape", "[2000000000]"}, {"pads", "[1000000000, 1000000000]"}},
       .inputs = {tensor<float>({1, 1, 3}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 1, 4}, {3, 3, 3, 3})}},
      {.name = "no rows",
       .attributes = {{"kernel_shape", "[2, 2]"}},
       .inputs = {tensor<float>({1, 1, 0, 2}, {})},
       .outputs = {tensor<float>({1, 1, 0, 1}, {})}},
      {.name = "too few extents in kernel_shape",
       .attributes = {{"kernel_shape", "[2]"}},
       .inputs = {tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4})},
       .error = "kernel_shape has 1 values, 2 are needed"},
      {.name = "negative padding",
       .attributes = {{"kernel_shape", "[1]"}, {"pads", "[-1, 0]"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 2})},
       .error = "pads holds -1"},
  };
}

}  // namespace cameo::ops
