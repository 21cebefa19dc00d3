#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RMSNormalization) {
  return {
      {.name = "last axis",
       .attributes = {{"epsilon", "0"}},
       .inputs = {tensor<float>({2, 2}, {1, 7, 3, 3}), tensor<float>({2}, {1, 10})},
       .outputs = {tensor<float>({2, 2}, {0.2f, 14, 1, 10})}},
      {.name = "the output has the type of scale",
       .attributes = {{"epsilon", "0"}, {"axis", "0"}},
       .inputs = {tensor<float>({2}, {3, 3}), numbers(DType::kFloat16, {1}, {2})},
       .outputs = {numbers(DType::kFloat16, {2}, {2, 2})}},
      {.name = "axis out of range",
       .attributes = {{"axis", "1"}},
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({2}, {1, 1})},
       .error = "axis is 1"},
  };
}

}  // namespace cameo::ops
