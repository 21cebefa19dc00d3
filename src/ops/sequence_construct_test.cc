#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SequenceConstruct) {
  const Tensor a = tensor<int64_t>({1}, {1}), b = tensor<int64_t>({0}, {});
  return {
      {.name = "two", .inputs = {a, b}, .outputs = {sequence({a, b}, DType::kInt64)}},
      {.name = "types differ", .inputs = {a, tensor<float>({}, {1})}, .error = "have one element type"},
  };
}

}  // namespace cameo::ops
