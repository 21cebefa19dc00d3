#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SequenceInsert) {
  const Tensor a = tensor<float>({1}, {1}), b = tensor<float>({1}, {2});
  return {
      {.name = "at the end", .inputs = {sequence({a}), b}, .outputs = {sequence({a, b})}},
      {.name = "at the front", .inputs = {sequence({a}), b, tensor<int64_t>({}, {-1})}, .outputs = {sequence({b, a})}},
      {.name = "into an empty one", .inputs = {sequence({}, DType::kFloat32), a, tensor<int64_t>({}, {0})}, .outputs = {sequence({a})}},
      {.name = "past the end", .inputs = {sequence({a}), b, tensor<int64_t>({}, {2})}, .error = "it may be -1 to 1"},
      {.name = "other type", .inputs = {sequence({a}), tensor<double>({}, {1})}, .error = "cannot be inserted"},
      {.name = "other type into an empty one", .inputs = {sequence({}, DType::kInt64), a}, .error = "cannot be inserted"},
  };
}

}  // namespace cameo::ops
