#include <limits>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Imputer) {
  const std::string ml = "ai.onnx.ml";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {
      {.name = "NaN by feature",
       .attributes = {{"imputed_value_floats", "[7, 8]"}, {"replaced_value_float", "nan"}},
       .inputs = {tensor<float>({2, 2}, {nan, 1, 2, nan})},
       .outputs = {tensor<float>({2, 2}, {7, 1, 2, 8})},
       .domain = ml},
      {.name = "integers, one for all",
       .attributes = {{"imputed_value_int64s", "[9]"}, {"replaced_value_int64", "-1"}},
       .inputs = {tensor<int64_t>({1, 3}, {-1, 5, -1})},
       .outputs = {tensor<int64_t>({1, 3}, {9, 5, 9})},
       .domain = ml},
      {.name = "no values",
       .inputs = {tensor<float>({1, 2}, {0, 1})},
       .error = "there are 0 values to impute for 2 features",
       .domain = ml},
  };
}

}  // namespace cameo::ops
