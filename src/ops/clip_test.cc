#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Clip) {
  return {
      {.name = "both limits",
       .inputs = {tensor<float>({4}, {-2, 0, 2, NAN}), tensor<float>({}, {-1}), tensor<float>({}, {1})},
       .outputs = {tensor<float>({4}, {-1, 0, 1, NAN})}},
      {.name = "only max",
       .inputs = {tensor<float>({2}, {-2, 2}), Tensor(), tensor<float>({}, {1})},
       .outputs = {tensor<float>({2}, {-2, 1})}},
      {.name = "only min", .inputs = {tensor<int8_t>({2}, {-2, 2}), tensor<int8_t>({}, {0})}, .outputs = {tensor<int8_t>({2}, {0, 2})}},
      {.name = "no limits", .inputs = {tensor<float>({2}, {-2, 2})}, .outputs = {tensor<float>({2}, {-2, 2})}},
      {.name = "min above max",
       .inputs = {tensor<float>({2}, {-2, 5}), tensor<float>({}, {3}), tensor<float>({}, {1})},
       .outputs = {tensor<float>({2}, {1, 1})}},
      {.name = "attributes before version 11",
       .attributes = {{"min", "-1"}, {"max", "1"}},
       .inputs = {numbers(DType::kFloat16, {2}, {-2, 2})},
       .outputs = {numbers(DType::kFloat16, {2}, {-1, 1})},
       .version = 6},
      {.name = "a limit that is no scalar",
       .inputs = {tensor<float>({2}, {-2, 2}), tensor<float>({2}, {0, 0})},
       .error = "min has shape [2]"},
      {.name = "a limit of another type", .inputs = {tensor<float>({2}, {-2, 2}), tensor<int32_t>({}, {0})}, .error = "min is int32"},
  };
}

}  // namespace cameo::ops
