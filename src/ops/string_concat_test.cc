#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(StringConcat) {
  return {
      {.name = "broadcast",
       .inputs = {tensor<std::string>({2, 1}, {"a", ""}), tensor<std::string>({2}, {"x", "ü"})},
       .outputs = {tensor<std::string>({2, 2}, {"ax", "aü", "x", "ü"})}},
      {.name = "none",
       .inputs = {tensor<std::string>({0}, {}), tensor<std::string>({1}, {"x"})},
       .outputs = {tensor<std::string>({0}, {})}},
      {.name = "not for numbers", .inputs = {tensor<float>({}, {1}), tensor<float>({}, {1})}, .error = "input 0 is float32"},
  };
}

}  // namespace cameo::ops
