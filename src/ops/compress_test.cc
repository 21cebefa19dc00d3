#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Compress) {
  return {
      {.name = "axis",
       .attributes = {{"axis", "-1"}},
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), numbers(DType::kBool, {3}, {1, 0, 1})},
       .outputs = {tensor<float>({2, 2}, {1, 3, 4, 6})}},
      {.name = "flattened, short condition",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), numbers(DType::kBool, {3}, {0, 1, 1})},
       .outputs = {tensor<float>({2}, {2, 3})}},
      {.name = "nothing", .inputs = {tensor<float>({2}, {1, 2}), numbers(DType::kBool, {1}, {0})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "true beyond the end",
       .inputs = {tensor<float>({1}, {1}), numbers(DType::kBool, {2}, {0, 1})},
       .error = "entry 1 of condition"},
  };
}

}  // namespace cameo::ops
