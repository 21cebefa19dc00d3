#include <limits>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Binarizer) {
  const std::string ml = "ai.onnx.ml";
  return {
      {.name = "threshold",
       .attributes = {{"threshold", "1.5"}},
       .inputs = {tensor<float>({4}, {1, 1.5f, 2, std::numeric_limits<float>::quiet_NaN()})},
       .outputs = {tensor<float>({4}, {0, 0, 1, 0})},
       .domain = ml},
      {.name = "integers, 0 by default",
       .inputs = {tensor<int64_t>({3}, {-1, 0, 1})},
       .outputs = {tensor<int64_t>({3}, {0, 0, 1})},
       .domain = ml},
      {.name = "not for strings", .inputs = {tensor<std::string>({1}, {"a"})}, .error = "input 0 is string", .domain = ml},
  };
}

}  // namespace cameo::ops
