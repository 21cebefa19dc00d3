#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Slice) {
  return {
      {.name = "bounds, axes and steps",
       .inputs = {tensor<float>({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}), tensor<int64_t>({2}, {1, 0}), tensor<int64_t>({2}, {2, 3}),
                  tensor<int64_t>({2}, {0, 1}), tensor<int64_t>({2}, {1, 2})},
       .outputs = {tensor<float>({1, 2}, {5, 7})}},
      {.name = "backwards",
       .inputs = {tensor<int32_t>({4}, {1, 2, 3, 4}), tensor<int32_t>({1}, {-1}), tensor<int32_t>({1}, {-2147483647}),
                  tensor<int32_t>({1}, {0}), tensor<int32_t>({1}, {-2})},
       .outputs = {tensor<int32_t>({2}, {4, 2})}},
      {.name = "clamped",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {-9223372036854775807}), tensor<int64_t>({1}, {9223372036854775807})},
       .outputs = {tensor<float>({2}, {1, 2})}},
      {.name = "nothing left",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {5}), tensor<int64_t>({1}, {9})},
       .outputs = {tensor<float>({0}, {})}},
      {.name = "huge step",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<int64_t>({1}, {0}), tensor<int64_t>({1}, {2}), tensor<int64_t>({1}, {1}),
                  tensor<int64_t>({1}, {9223372036854775807})},
       .outputs = {tensor<float>({1, 1}, {1})}},
      {.name = "version 1 has attributes",
       .attributes = {{"starts", "[0, -1]"}, {"ends", "[1, 1000]"}, {"axes", "[0, 1]"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({1, 1}, {2})},
       .version = 1},
      {.name = "step 0",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0}), tensor<int64_t>({1}, {2}), tensor<int64_t>({1}, {0}),
                  tensor<int64_t>({1}, {0})},
       .error = "a step is 0"},
      {.name = "lists of different lengths",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0}), tensor<int64_t>({2}, {2, 2})},
       .error = "starts has 1 entries, but ends has 2"},
      {.name = "axis out of range",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0}), tensor<int64_t>({1}, {2}), tensor<int64_t>({1}, {1})},
       .error = "axes is 1"},
  };
}

}  // namespace cameo::ops
