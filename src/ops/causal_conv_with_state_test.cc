#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(CausalConvWithState) {
  return {
      {.name = "zeros before the input",
       .inputs = {tensor<float>({1, 1, 3}, {1, 2, 3}), tensor<float>({1, 1, 2}, {10, 1})},
       .outputs = {tensor<float>({1, 1, 3}, {1, 12, 23}), tensor<float>({1, 1, 1}, {3})}},
      {.name = "state and bias, shorter than the kernel",
       .inputs = {tensor<float>({1, 1, 1}, {3}), tensor<float>({1, 1, 3}, {100, 10, 1}), tensor<float>({1}, {0.5}),
                  tensor<float>({1, 1, 2}, {1, 2})},
       .outputs = {tensor<float>({1, 1, 1}, {123.5}), tensor<float>({1, 1, 2}, {2, 3})}},
      {.name = "silu",
       .attributes = {{"activation", "'silu'"}},
       .inputs = {tensor<float>({1, 1, 2}, {0, 1}), tensor<float>({1, 1, 1}, {2})},
       .outputs = {tensor<float>({1, 1, 2}, {0, 1.7615942f}), tensor<float>({1, 1, 0}, {})}},
      {.name = "unknown activation",
       .attributes = {{"activation", "'relu'"}},
       .inputs = {tensor<float>({1, 1, 1}, {0}), tensor<float>({1, 1, 1}, {2})},
       .error = "activation is 'relu'"},
      {.name = "weights of other channels",
       .inputs = {tensor<float>({1, 1, 1}, {0}), tensor<float>({2, 1, 1}, {2, 2})},
       .error = "the channels of weight: 2 where 1 is expected"},
  };
}

}  // namespace cameo::ops
