#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ScatterND) {
  return {
      {.name = "elements",
       .inputs = {tensor<float>({4}, {1, 2, 3, 4}), tensor<int64_t>({2, 1}, {1, -1}), tensor<float>({2}, {8, 9})},
       .outputs = {tensor<float>({4}, {1, 8, 3, 9})}},
      {.name = "slices",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1, 1}, {1}), tensor<float>({1, 2}, {8, 9})},
       .outputs = {tensor<float>({2, 2}, {1, 2, 8, 9})}},
      {.name = "add, repeated index",
       .attributes = {{"reduction", "'add'"}},
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({2, 1}, {1, 1}), tensor<float>({2}, {8, 9})},
       .outputs = {tensor<float>({2}, {1, 19})}},
      {.name = "strings",
       .inputs = {tensor<std::string>({1}, {"a"}), tensor<int64_t>({1, 1}, {0}), tensor<std::string>({1}, {"b"})},
       .outputs = {tensor<std::string>({1}, {"b"})}},
      {.name = "index out of range",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1, 1}, {2}), tensor<float>({1}, {8})},
       .error = "index 2 along axis 0"},
      {.name = "wrong updates",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1, 1}, {1}), tensor<float>({2}, {8, 8})},
       .error = "the tensor of updates has shape [2]; [1] is expected"},
  };
}

}  // namespace cameo::ops
