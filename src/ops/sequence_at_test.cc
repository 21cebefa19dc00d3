#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SequenceAt) {
  const RtValue two = sequence({tensor<float>({1}, {1}), tensor<float>({2}, {2, 3})});
  return {
      {.name = "from the end", .inputs = {two, tensor<int64_t>({}, {-1})}, .outputs = {tensor<float>({2}, {2, 3})}},
      {.name = "int32 position", .inputs = {two, tensor<int32_t>({1}, {0})}, .outputs = {tensor<float>({1}, {1})}},
      {.name = "out of range",
       .inputs = {two, tensor<int64_t>({}, {2})},
       .error = "position is 2; in a sequence of length 2 it may be -2 to 1"},
      {.name = "empty sequence", .inputs = {sequence({}), tensor<int64_t>({}, {0})}, .error = "the sequence is empty"},
      {.name = "no sequence", .inputs = {tensor<float>({}, {1}), tensor<int64_t>({}, {0})}, .error = "where a sequence is needed"},
  };
}

}  // namespace cameo::ops
