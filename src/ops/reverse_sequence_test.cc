#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ReverseSequence) {
  return {
      {.name = "time first",
       .inputs = {tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({2}, {3, 2})},
       .outputs = {tensor<float>({3, 2}, {5, 4, 3, 2, 1, 6})}},
      {.name = "batch first",
       .attributes = {{"batch_axis", "0"}, {"time_axis", "1"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({2}, {2, 0})},
       .outputs = {tensor<float>({2, 2}, {2, 1, 3, 4})}},
      {.name = "too long", .inputs = {tensor<float>({1, 1}, {1}), tensor<int64_t>({1}, {2})}, .error = "sequence_lens[0] is 2"},
      {.name = "one axis for both",
       .attributes = {{"time_axis", "1"}},
       .inputs = {tensor<float>({1, 1}, {1}), tensor<int64_t>({1}, {1})},
       .error = "batch_axis is 1 and time_axis 1"},
  };
}

}  // namespace cameo::ops
