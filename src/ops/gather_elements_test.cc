#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GatherElements) {
  return {
      {.name = "axis",
       .attributes = {{"axis", "1"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({2, 2}, {0, 0, -1, 0})},
       .outputs = {tensor<float>({2, 2}, {1, 1, 4, 3})}},
      {.name = "fewer indices",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int32_t>({1, 1}, {1})},
       .outputs = {tensor<float>({1, 1}, {3})}},
      {.name = "index out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {-3})}, .error = "index -3"},
      {.name = "indices larger than data",
       .inputs = {tensor<float>({1, 1}, {1}), tensor<int64_t>({1, 2}, {0, 0})},
       .error = "indices have the extent 2 along axis 1"},
  };
}

}  // namespace cameo::ops
