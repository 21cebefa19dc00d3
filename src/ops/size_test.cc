#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Size) {
  return {
      {.name = "matrix", .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4})}, .outputs = {tensor<int64_t>({}, {4})}},
      {.name = "empty", .inputs = {tensor<float>({2, 0}, {})}, .outputs = {tensor<int64_t>({}, {0})}},
      {.name = "scalar", .inputs = {tensor<std::string>({}, {"s"})}, .outputs = {tensor<int64_t>({}, {1})}},
  };
}

}  // namespace cameo::ops
