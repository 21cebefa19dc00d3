#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Where) {
  return {
      {.name = "same shape",
       .inputs = {tensor<bool>({3}, {true, false, true}), tensor<float>({3}, {1, 2, 3}), tensor<float>({3}, {4, 5, 6})},
       .outputs = {tensor<float>({3}, {1, 5, 3})}},
      {.name = "all broadcast",
       .inputs = {tensor<bool>({2, 1}, {true, false}), tensor<int32_t>({2}, {1, 2}), tensor<int32_t>({}, {9})},
       .outputs = {tensor<int32_t>({2, 2}, {1, 2, 9, 9})}},
      {.name = "scalars",
       .inputs = {tensor<bool>({}, {false}), tensor<int64_t>({}, {1}), tensor<int64_t>({}, {2})},
       .outputs = {tensor<int64_t>({}, {2})}},
      {.name = "strings",
       .inputs = {tensor<bool>({2}, {true, false}), tensor<std::string>({2}, {"a", "b"}), tensor<std::string>({1}, {"c"})},
       .outputs = {tensor<std::string>({2}, {"a", "c"})}},
      {.name = "no elements",
       .inputs = {tensor<bool>({0}, {}), tensor<float>({1}, {1}), tensor<float>({1}, {1})},
       .outputs = {tensor<float>({0}, {})}},
      {.name = "mixed types",
       .inputs = {tensor<bool>({1}, {true}), tensor<float>({1}, {1}), tensor<int32_t>({1}, {1})},
       .error = "X is float32, but Y is int32"},
      {.name = "shapes that do not broadcast",
       .inputs = {tensor<bool>({2}, {true, false}), tensor<float>({3}, {1, 2, 3}), tensor<float>({}, {1})},
       .error = "do not broadcast"},
  };
}

}  // namespace cameo::ops
