#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Not) {
  return {
      {.name = "both", .inputs = {tensor<bool>({2}, {true, false})}, .outputs = {tensor<bool>({2}, {false, true})}},
      {.name = "not for numbers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
