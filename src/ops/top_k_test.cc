#include <cmath>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(TopK) {
  return {
      {.name = "largest",
       .inputs = {tensor<float>({2, 3}, {1, 3, 2, 5, 4, 6}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<float>({2, 2}, {3, 2, 6, 5}), tensor<int64_t>({2, 2}, {1, 2, 2, 0})}},
      {.name = "smallest, axis 0",
       .attributes = {{"axis", "0"}, {"largest", "0"}},
       .inputs = {tensor<int64_t>({3, 1}, {3, 1, 2}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<int64_t>({1, 1}, {1}), tensor<int64_t>({1, 1}, {1})}},
      {.name = "ties go to the lower index",
       .inputs = {tensor<float>({3}, {1, 1, 1}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<float>({2}, {1, 1}), tensor<int64_t>({2}, {0, 1})}},
      {.name = "NaN is largest",
       .inputs = {tensor<float>({4}, {1, NAN, INFINITY, NAN}), tensor<int64_t>({1}, {3})},
       .outputs = {tensor<float>({3}, {NAN, NAN, INFINITY}), tensor<int64_t>({3}, {1, 3, 2})}},
      {.name = "version 1 has an attribute",
       .attributes = {{"k", "1"}},
       .inputs = {tensor<float>({2}, {1, 2})},
       .outputs = {tensor<float>({1}, {2}), tensor<int64_t>({1}, {1})},
       .version = 1},
      {.name = "none",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({0}, {}), tensor<int64_t>({0}, {})}},
      {.name = "k too large", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {3})}, .error = "k is 3"},
      {.name = "k negative", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {-1})}, .error = "k is -1"},
  };
}

}  // namespace cameo::ops
