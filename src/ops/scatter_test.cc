#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Scatter) {
  return {
      {.name = "axis",
       .attributes = {{"axis", "1"}},
       .inputs = {tensor<float>({1, 3}, {1, 2, 3}), tensor<int64_t>({1, 2}, {-1, 0}), tensor<float>({1, 2}, {8, 9})},
       .outputs = {tensor<float>({1, 3}, {9, 2, 8})},
       .version = 10},
      {.name = "no index",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({0}, {}), tensor<float>({0}, {})},
       .outputs = {tensor<float>({2}, {1, 2})},
       .version = 10},
      {.name = "index out of range",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {2}), tensor<float>({1}, {8})},
       .error = "index 2",
       .version = 10},
  };
}

}  // namespace cameo::ops
