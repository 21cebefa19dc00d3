#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SequenceLength) {
  return {
      {.name = "two", .inputs = {sequence({tensor<float>({1}, {1}), tensor<float>({0}, {})})}, .outputs = {tensor<int64_t>({}, {2})}},
      {.name = "none", .inputs = {sequence({})}, .outputs = {tensor<int64_t>({}, {0})}},
      {.name = "no sequence", .inputs = {tensor<float>({}, {1})}, .error = "where a sequence is needed"},
  };
}

}  // namespace cameo::ops
