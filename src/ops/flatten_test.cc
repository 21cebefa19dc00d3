#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Flatten) {
  return {
      {.name = "default", .inputs = {tensor<float>({2, 1, 2}, {1, 2, 3, 4})}, .outputs = {tensor<float>({2, 2}, {1, 2, 3, 4})}},
      {.name = "axis 0",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({1, 4}, {1, 2, 3, 4})}},
      {.name = "axis is the rank",
       .attributes = {{"axis", "2"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({4, 1}, {1, 2, 3, 4})}},
      {.name = "axis out of range", .attributes = {{"axis", "3"}}, .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})}, .error = "axis is 3"},
  };
}

}  // namespace cameo::ops
