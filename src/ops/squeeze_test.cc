#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Squeeze) {
  return {
      {.name = "all", .inputs = {tensor<float>({1, 2, 1}, {1, 2})}, .outputs = {tensor<float>({2}, {1, 2})}},
      {.name = "axes",
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<int64_t>({1}, {-1})},
       .outputs = {tensor<float>({1, 2}, {1, 2})}},
      {.name = "version 11 has an attribute",
       .attributes = {{"axes", "[0]"}},
       .inputs = {tensor<float>({1, 2, 1}, {1, 2})},
       .outputs = {tensor<float>({2, 1}, {1, 2})},
       .version = 11},
      {.name = "extent not 1",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<int64_t>({1}, {1})},
       .error = "axis 1 of shape [1, 2] cannot be squeezed"},
  };
}

}  // namespace cameo::ops
