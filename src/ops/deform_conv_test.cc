#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(DeformConv) {
  return {
      {.name = "interpolates, 0 outside",
       .inputs = {tensor<float>({1, 1, 1, 2}, {2, 4}), tensor<float>({1, 1, 1, 1}, {10}), tensor<float>({1, 2, 1, 2}, {0, 0, 0.5, 0.5})},
       .outputs = {tensor<float>({1, 1, 1, 2}, {30, 20})}},
      {.name = "mask and bias, one axis",
       .inputs = {tensor<float>({1, 1, 2}, {2, 4}), tensor<float>({1, 1, 1}, {10}), tensor<float>({1, 1, 2}, {1, -1}),
                  tensor<float>({1}, {1}), tensor<float>({1, 1, 2}, {0.5, 2})},
       .outputs = {tensor<float>({1, 1, 2}, {21, 41})}},
      {.name = "two offset groups",
       .attributes = {{"offset_group", "2"}},
       .inputs = {tensor<float>({1, 2, 2}, {1, 2, 10, 20}), tensor<float>({1, 2, 1}, {1, 1}), tensor<float>({1, 2, 2}, {0, 0, 1, -1})},
       .outputs = {tensor<float>({1, 1, 2}, {21, 12})}},
      {.name = "offsets of another shape",
       .inputs = {tensor<float>({1, 1, 2}, {2, 4}), tensor<float>({1, 1, 1}, {10}), tensor<float>({1, 2, 2}, {1, -1, 0, 0})},
       .error = "offset has shape [1, 2, 2]; [1, 1, 2] is expected"},
  };
}

}  // namespace cameo::ops
