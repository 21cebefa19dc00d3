#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Identity) {
  return {
      {.name = "numbers", .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})}, .outputs = {tensor<float>({2, 2}, {1, 2, 3, 4})}},
      {.name = "strings",
       .inputs = {tensor<std::string>({2}, {"a", "longer than the small buffer"})},
       .outputs = {tensor<std::string>({2}, {"a", "longer than the small buffer"})}},
      {.name = "4 bits", .inputs = {numbers(DType::kInt4, {3}, {-8, 0, 7})}, .outputs = {numbers(DType::kInt4, {3}, {-8, 0, 7})}},
  };
}

}  // namespace cameo::ops
