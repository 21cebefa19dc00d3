#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(CategoryMapper) {
  const std::string ml = "ai.onnx.ml";
  return {
      {.name = "to numbers",
       .attributes = {{"cats_int64s", "[5, 6]"}, {"cats_strings", "[a, b]"}},
       .inputs = {tensor<std::string>({3}, {"b", "c", "a"})},
       .outputs = {tensor<int64_t>({3}, {6, -1, 5})},
       .domain = ml},
      {.name = "to strings",
       .attributes = {{"cats_int64s", "[5, 6]"}, {"cats_strings", "[a, b]"}},
       .inputs = {tensor<int64_t>({2}, {6, 7})},
       .outputs = {tensor<std::string>({2}, {"b", "_Unused"})},
       .domain = ml},
      {.name = "lists of different lengths",
       .attributes = {{"cats_int64s", "[5]"}},
       .inputs = {tensor<int64_t>({1}, {5})},
       .error = "the lists must be parallel",
       .domain = ml},
  };
}

}  // namespace cameo::ops
