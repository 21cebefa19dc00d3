#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Unsqueeze) {
  return {
      {.name = "axes",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({2}, {0, -1})},
       .outputs = {tensor<float>({1, 2, 1}, {1, 2})}},
      {.name = "version 11 has an attribute",
       .attributes = {{"axes", "[1]"}},
       .inputs = {tensor<float>({2}, {1, 2})},
       .outputs = {tensor<float>({2, 1}, {1, 2})},
       .version = 11},
      {.name = "axis out of range",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {2})},
       .error = "axes is 2, but a tensor of rank 2"},
      {.name = "repeated axis", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({2}, {0, -3})}, .error = "twice"},
  };
}

}  // namespace cameo::ops
