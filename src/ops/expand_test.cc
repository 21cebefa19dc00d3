#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Expand) {
  return {
      {.name = "both ways",
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<int64_t>({3}, {2, 1, 2})},
       .outputs = {tensor<float>({2, 2, 2}, {1, 1, 2, 2, 1, 1, 2, 2})}},
      {.name = "a shorter shape",
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<float>({2, 2}, {1, 1, 2, 2})}},
      {.name = "to no element", .inputs = {tensor<float>({1}, {1}), tensor<int64_t>({1}, {0})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "mismatch", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {3})}, .error = "do not broadcast"},
      {.name = "negative", .inputs = {tensor<float>({1}, {1}), tensor<int64_t>({1}, {-1})}, .error = "negative extent -1"},
  };
}

}  // namespace cameo::ops
