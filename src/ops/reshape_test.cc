#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Reshape) {
  return {
      {.name = "inferred and copied extents",
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({3}, {0, -1, 1})},
       .outputs = {tensor<float>({2, 3, 1}, {1, 2, 3, 4, 5, 6})}},
      {.name = "to a scalar", .inputs = {tensor<float>({1, 1}, {7}), tensor<int64_t>({0}, {})}, .outputs = {tensor<float>({}, {7})}},
      {.name = "a copied zero beside -1",
       .inputs = {tensor<float>({0, 6}, {}), tensor<int64_t>({3}, {0, 2, -1})},
       .outputs = {tensor<float>({0, 2, 3}, {})}},
      {.name = "allowzero",
       .attributes = {{"allowzero", "1"}},
       .inputs = {tensor<float>({0, 6}, {}), tensor<int64_t>({2}, {7, 0})},
       .outputs = {tensor<float>({7, 0}, {})}},
      {.name = "version 1 has an attribute",
       .attributes = {{"shape", "[3, -1]"}},
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6})},
       .outputs = {tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6})},
       .version = 1},
      {.name = "two -1", .inputs = {tensor<float>({1}, {0}), tensor<int64_t>({2}, {-1, -1})}, .error = "more than one -1"},
      {.name = "wrong count", .inputs = {tensor<float>({3}, {0, 0, 0}), tensor<int64_t>({1}, {4})}, .error = "3 elements against 4"},
      {.name = "indivisible",
       .inputs = {tensor<float>({3}, {0, 0, 0}), tensor<int64_t>({2}, {2, -1})},
       .error = "cannot be reshaped to [2, -1]"},
      {.name = "overflowing",
       .inputs = {tensor<float>({0}, {}), tensor<int64_t>({3}, {4611686018427387904, 4611686018427387904, 2})},
       .error = "cannot be reshaped"},
      {.name = "negative", .inputs = {tensor<float>({1}, {0}), tensor<int64_t>({1}, {-2})}, .error = "the extent -2"},
      {.name = "zero beyond the rank", .inputs = {tensor<float>({1}, {0}), tensor<int64_t>({2}, {1, 0})}, .error = "entry 1"},
  };
}

}  // namespace cameo::ops
