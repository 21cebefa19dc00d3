#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Bernoulli) {
  return {
      {.name = "certain outcomes", .inputs = {tensor<float>({2}, {0, 1})}, .outputs = {tensor<float>({2}, {0, 1})}},
      {.name = "the numbers of numpy",
       .attributes = {{"seed", "7"}, {"dtype", "9"}},
       .inputs = {tensor<double>({4}, {0.5, 0.9, 0.2, 0.7})},
       .outputs = {numbers(DType::kBool, {4}, {0, 1, 0, 0})}},
      {.name = "no probability", .inputs = {tensor<float>({1}, {1.5f})}, .error = "element 0 is 1.5"},
  };
}

}  // namespace cameo::ops
