#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GatherND) {
  return {
      {.name = "elements",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({2, 2}, {0, 0, -1, 1})},
       .outputs = {tensor<float>({2}, {1, 4})}},
      {.name = "slices",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1, 1}, {1})},
       .outputs = {tensor<float>({1, 2}, {3, 4})}},
      {.name = "batches",
       .attributes = {{"batch_dims", "1"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({2, 1}, {1, 0})},
       .outputs = {tensor<float>({2}, {2, 3})}},
      {.name = "index out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {2})}, .error = "index 2 along axis 0"},
      {.name = "tuple too long",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({2}, {0, 0})},
       .error = "index tuples have length 2"},
      {.name = "batch_dims out of range",
       .attributes = {{"batch_dims", "1"}},
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {0})},
       .error = "batch_dims is 1"},
  };
}

}  // namespace cameo::ops
