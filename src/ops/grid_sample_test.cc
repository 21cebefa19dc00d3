#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GridSample) {
  return {
      {.name = "linear, zeros outside",
       .inputs = {tensor<float>({1, 1, 1, 2}, {2, 4}), tensor<float>({1, 1, 3, 2}, {0, 0, -1, 0, 9, 0})},
       .outputs = {tensor<float>({1, 1, 1, 3}, {3, 1, 0})}},
      {.name = "border",
       .attributes = {{"padding_mode", "'border'"}},
       .inputs = {tensor<float>({1, 1, 1, 2}, {2, 4}), tensor<float>({1, 1, 2, 2}, {-9, 0, 9, 0})},
       .outputs = {tensor<float>({1, 1, 1, 2}, {2, 4})}},
      {.name = "reflection, nearest",
       .attributes = {{"padding_mode", "'reflection'"}, {"mode", "'nearest'"}, {"align_corners", "1"}},
       .inputs = {tensor<int64_t>({1, 1, 3}, {1, 2, 3}), tensor<float>({1, 3, 1}, {-2, 1, 3})},
       .outputs = {tensor<int64_t>({1, 1, 3}, {2, 3, 1})}},
      {.name = "cubic keeps elements",
       .attributes = {{"mode", "'cubic'"}, {"align_corners", "1"}},
       .inputs = {tensor<float>({1, 1, 1, 3}, {1, 2, 4}), tensor<float>({1, 1, 1, 2}, {0, 0})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {2})}},
      {.name = "not a number and infinity",
       .inputs = {tensor<float>({1, 1, 1}, {5}), tensor<float>({1, 2, 1}, {__builtin_nanf(""), __builtin_inff()})},
       .outputs = {tensor<float>({1, 1, 2}, {0, 0})}},
      {.name = "nothing to read",
       .inputs = {tensor<float>({1, 1, 0}, {}), tensor<float>({1, 1, 1}, {0})},
       .error = "has no element to read"},
      {.name = "grid of another rank",
       .inputs = {tensor<float>({1, 1, 1}, {5}), tensor<float>({1, 1, 2}, {0, 0})},
       .error = "the last extent of grid: 2 where 1 is expected"},
      {.name = "unknown mode",
       .attributes = {{"mode", "'area'"}},
       .inputs = {tensor<float>({1, 1, 1}, {5}), tensor<float>({1, 1, 1}, {0})},
       .error = "mode is 'area'"},
  };
}

}  // namespace cameo::ops
