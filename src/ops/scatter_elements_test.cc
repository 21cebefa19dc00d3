#include <cmath>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ScatterElements) {
  return {
      {.name = "axis",
       .attributes = {{"axis", "1"}},
       .inputs = {tensor<float>({1, 3}, {1, 2, 3}), tensor<int64_t>({1, 2}, {-1, 0}), tensor<float>({1, 2}, {8, 9})},
       .outputs = {tensor<float>({1, 3}, {9, 2, 8})}},
      {.name = "no index",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({0}, {}), tensor<float>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 2})}},
      {.name = "index out of range",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {2}), tensor<float>({1}, {8})},
       .error = "index 2"},

      {.name = "add, repeated index",
       .attributes = {{"reduction", "'add'"}},
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int32_t>({2}, {1, 1}), tensor<float>({2}, {8, 9})},
       .outputs = {tensor<float>({2}, {1, 19})}},
      {.name = "integers wrap around",
       .attributes = {{"reduction", "'mul'"}},
       .inputs = {tensor<int16_t>({1}, {30000}), tensor<int64_t>({1}, {0}), tensor<int16_t>({1}, {30000})},
       .outputs = {tensor<int16_t>({1}, {-5888})}},
      {.name = "max keeps NaN",
       .attributes = {{"reduction", "'max'"}},
       .inputs = {tensor<float>({2}, {NAN, 1}), tensor<int64_t>({2}, {0, 1}), tensor<float>({2}, {1, NAN})},
       .outputs = {tensor<float>({2}, {NAN, NAN})}},
      {.name = "no max before version 18",
       .attributes = {{"reduction", "'max'"}},
       .inputs = {tensor<float>({1}, {1}), tensor<int64_t>({1}, {0}), tensor<float>({1}, {1})},
       .error = "reduction is 'max'",
       .version = 16},
      {.name = "indices larger than data",
       .inputs = {tensor<float>({1, 1}, {1}), tensor<int64_t>({1, 2}, {0, 0}), tensor<float>({1, 2}, {1, 1})},
       .error = "indices have the extent 2 along axis 1"},
      {.name = "updates differ",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0}), tensor<float>({2}, {1, 1})},
       .error = "extents of the updates"},
  };
}

}  // namespace cameo::ops
