#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(IsInf) {
  return {
      {.name = "both signs",
       .inputs = {tensor<float>({4}, {INFINITY, -INFINITY, NAN, 1})},
       .outputs = {tensor<bool>({4}, {true, true, false, false})}},
      {.name = "only positive",
       .attributes = {{"detect_negative", "0"}},
       .inputs = {tensor<double>({2}, {INFINITY, -INFINITY})},
       .outputs = {tensor<bool>({2}, {true, false})}},
      {.name = "only negative",
       .attributes = {{"detect_positive", "0"}},
       .inputs = {tensor<float>({2}, {INFINITY, -INFINITY})},
       .outputs = {tensor<bool>({2}, {false, true})}},
      {.name = "half", .inputs = {numbers(DType::kFloat16, {1}, {INFINITY})}, .outputs = {tensor<bool>({1}, {true})}},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
