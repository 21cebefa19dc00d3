#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SequenceErase) {
  const Tensor a = tensor<float>({1}, {1}), b = tensor<float>({1}, {2});
  return {
      {.name = "the last", .inputs = {sequence({a, b})}, .outputs = {sequence({a})}},
      {.name = "a position", .inputs = {sequence({a, b}), tensor<int64_t>({}, {0})}, .outputs = {sequence({b})}},
      {.name = "the type stays", .inputs = {sequence({a})}, .outputs = {sequence({}, DType::kFloat32)}},
      {.name = "nothing there", .inputs = {sequence({})}, .error = "nothing to erase"},
      {.name = "out of range", .inputs = {sequence({a}), tensor<int64_t>({}, {-2})}, .error = "it may be -1 to 0"},
  };
}

}  // namespace cameo::ops
