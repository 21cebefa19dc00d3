#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(OneHotEncoder) {
  const std::string ml = "ai.onnx.ml";
  return {
      {.name = "numbers",
       .attributes = {{"cats_int64s", "[3, 5]"}},
       .inputs = {tensor<float>({3}, {5, 4, 3})},
       .outputs = {tensor<float>({3, 2}, {0, 1, 0, 0, 1, 0})},
       .domain = ml},
      {.name = "strings",
       .attributes = {{"cats_strings", "[a, b]"}},
       .inputs = {tensor<std::string>({1, 1}, {"b"})},
       .outputs = {tensor<float>({1, 1, 2}, {0, 1})},
       .domain = ml},
      {.name = "no category",
       .attributes = {{"cats_int64s", "[3]"}, {"zeros", "0"}},
       .inputs = {tensor<int64_t>({2}, {3, 4})},
       .error = "element 1 is none of the 1 categories",
       .domain = ml},
      {.name = "categories of another type",
       .attributes = {{"cats_int64s", "[3]"}},
       .inputs = {tensor<std::string>({0}, {})},
       .error = "does not go with the categories",
       .domain = ml},
  };
}

}  // namespace cameo::ops
