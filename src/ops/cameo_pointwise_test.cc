#include <limits>

#include "ops/cameo_op_test.h"

namespace cameo::ops {

CAMEO_OP_TEST(Pointwise) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  return {
      {.name = "two instructions",
       .attributes = {{"program", "[0, 0, 1, 0, 24, 2, 0, 0]"}},  // Relu(x0 + x1)
       .inputs = {tensor<float>({2, 2}, {1, -2, 3, -4}), tensor<float>({2, 2}, {1, 1, -5, 5})},
       .outputs = {tensor<float>({2, 2}, {2, 0, 0, 1})}},
      {.name = "broadcasting on both sides, three inputs",
       .attributes = {{"program", "[49, 0, 1, 2, 0]"}},
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<float>({3}, {1, 10, 100}), tensor<float>({}, {5})},
       .error = "5 numbers"},
      {.name = "fma over shapes that broadcast",
       .attributes = {{"program", "[49, 0, 1, 2]"}},
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<float>({3}, {1, 10, 100}), tensor<float>({}, {5})},
       .outputs = {tensor<float>({2, 3}, {6, 15, 105, 7, 25, 205})}},
      {.name = "constants",
       .attributes = {{"program", "[2, 0, -1, 0, 0, 1, -2, 0]"}, {"constants", "[3, 0.5]"}},
       .inputs = {tensor<float>({2}, {1, 2})},
       .outputs = {tensor<float>({2}, {3.5, 6.5})}},
      {.name = "NaN and infinity",
       .attributes = {{"program", "[48, 0, -1, -2]"}, {"constants", "[0, 6]"}},
       .inputs = {tensor<float>({3}, {nan, inf, -inf})},
       .outputs = {tensor<float>({3}, {nan, 6, 0})}},
      {.name = "no instruction is the identity", .inputs = {tensor<float>({2}, {1, 2})}, .outputs = {tensor<float>({2}, {1, 2})}},
      {.name = "no elements",
       .attributes = {{"program", "[24, 0, 0, 0]"}},
       .inputs = {tensor<float>({0, 3}, {})},
       .outputs = {tensor<float>({0, 3}, {})}},
      {.name = "scalar",
       .attributes = {{"program", "[24, 0, 0, 0]"}},
       .inputs = {tensor<float>({}, {-1})},
       .outputs = {tensor<float>({}, {0})}},
      {.name = "no instruction for two inputs", .inputs = {tensor<float>({1}, {1}), tensor<float>({1}, {1})}, .error = "no instruction"},
      {.name = "unknown operation",
       .attributes = {{"program", "[9, 0, 0, 0]"}},
       .inputs = {tensor<float>({1}, {1})},
       .error = "operation 9"},
      {.name = "operand out of range",
       .attributes = {{"program", "[0, 0, 1, 0]"}},
       .inputs = {tensor<float>({1}, {1})},
       .error = "operand 1"},
      {.name = "constant out of range",
       .attributes = {{"program", "[0, 0, -1, 0]"}},
       .inputs = {tensor<float>({1}, {1})},
       .error = "operand -1"},
      {.name = "shapes that do not fit",
       .attributes = {{"program", "[0, 0, 1, 0]"}},
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({3}, {1, 2, 3})},
       .error = "3"},
      {.name = "not for double", .inputs = {tensor<double>({1}, {1})}, .error = "input 0 is float64"},
  };
}

}  // namespace cameo::ops
