#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(And) {
  return {
      {.name = "table",
       .inputs = {tensor<bool>({4}, {true, true, false, false}), tensor<bool>({4}, {true, false, true, false})},
       .outputs = {tensor<bool>({4}, {true, false, false, false})}},
      {.name = "broadcast",
       .inputs = {tensor<bool>({2, 1}, {true, false}), tensor<bool>({2}, {true, false})},
       .outputs = {tensor<bool>({2, 2}, {true, false, false, false})}},
      {.name = "version 1 aligns at axis",
       .attributes = {{"broadcast", "1"}, {"axis", "0"}},
       .inputs = {tensor<bool>({2, 2}, {true, true, false, false}), tensor<bool>({2}, {true, false})},
       .outputs = {tensor<bool>({2, 2}, {true, true, false, false})},
       .version = 1},
      {.name = "not for numbers", .inputs = {tensor<float>({1}, {1}), tensor<float>({1}, {1})}, .error = "input 0 is float32[1]"},
  };
}

}  // namespace cameo::ops
