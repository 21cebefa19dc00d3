#include <limits>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LabelEncoder) {
  const std::string ml = "ai.onnx.ml";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {
      {.name = "strings to numbers",
       .attributes = {{"keys_strings", "[a, b]"}, {"values_int64s", "[10, 20]"}, {"default_int64", "7"}},
       .inputs = {tensor<std::string>({3}, {"b", "c", "a"})},
       .outputs = {tensor<int64_t>({3}, {20, 7, 10})},
       .domain = ml},
      {.name = "floats to strings, the default of the defaults",
       .attributes = {{"keys_floats", "[nan, 1.5]"}, {"values_strings", "[none, half]"}},
       .inputs = {tensor<float>({1, 3}, {1.5f, nan, 2})},
       .outputs = {tensor<std::string>({1, 3}, {"half", "none", "_Unused"})},
       .domain = ml},
      {.name = "keys and values differ in number",
       .attributes = {{"keys_int64s", "[1, 2]"}, {"values_int64s", "[1]"}},
       .inputs = {tensor<int64_t>({1}, {1})},
       .error = "there are 2 keys and 1 values",
       .domain = ml},
      {.name = "keys of another type",
       .attributes = {{"keys_int64s", "[1]"}, {"values_int64s", "[1]"}},
       .inputs = {tensor<float>({1}, {1})},
       .error = "the input is float32, but the keys are int64",
       .domain = ml},
      {.name = "no values",
       .attributes = {{"keys_int64s", "[1]"}},
       .inputs = {tensor<int64_t>({1}, {1})},
       .error = "values are not given",
       .domain = ml},
  };
}

}  // namespace cameo::ops
