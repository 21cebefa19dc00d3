#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Unique) {
  return {
      {.name = "sorted",
       .inputs = {tensor<float>({5}, {2, 1, 1, 3, 2})},
       .outputs = {tensor<float>({3}, {1, 2, 3}), tensor<int64_t>({3}, {1, 0, 3}), tensor<int64_t>({5}, {1, 0, 0, 2, 1}),
                   tensor<int64_t>({3}, {2, 2, 1})}},
      {.name = "in order of appearance",
       .attributes = {{"sorted", "0"}},
       .inputs = {tensor<std::string>({2, 2}, {"b", "a", "a", "c"})},
       .outputs = {tensor<std::string>({3}, {"b", "a", "c"}), tensor<int64_t>({3}, {0, 1, 3}), tensor<int64_t>({4}, {0, 1, 1, 2}),
                   tensor<int64_t>({3}, {1, 2, 1})}},
      {.name = "rows",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<int32_t>({3, 2}, {1, 1, 0, 5, 1, 1})},
       .outputs = {tensor<int32_t>({2, 2}, {0, 5, 1, 1}), tensor<int64_t>({2}, {1, 0}), tensor<int64_t>({3}, {1, 0, 1}),
                   tensor<int64_t>({2}, {1, 2})}},
      {.name = "columns, out of order",
       .attributes = {{"axis", "1"}, {"sorted", "0"}},
       .inputs = {tensor<int32_t>({1, 3}, {3, 1, 3})},
       .outputs = {tensor<int32_t>({1, 2}, {3, 1})}},
      {.name = "NaN equals NaN",
       .inputs = {tensor<float>({3}, {__builtin_nanf(""), 1, __builtin_nanf("")})},
       .outputs = {tensor<float>({2}, {1, __builtin_nanf("")})}},
      {.name = "nothing",
       .inputs = {tensor<float>({0}, {})},
       .outputs = {tensor<float>({0}, {}), tensor<int64_t>({0}, {}), tensor<int64_t>({0}, {}), tensor<int64_t>({0}, {})}},
  };
}

}  // namespace cameo::ops
