#include "ops/op_test.h"

#include <cmath>

namespace cameo::ops {

OP_TEST(Equal) {
  return {
      {.name = "floats",
       .inputs = {tensor<float>({3}, {1, NAN, 0}), tensor<float>({3}, {1, NAN, -0.f})},
       .outputs = {tensor<bool>({3}, {true, false, true})}},
      {.name = "strings",
       .inputs = {tensor<std::string>({2}, {"a", "b"}), tensor<std::string>({}, {"b"})},
       .outputs = {tensor<bool>({2}, {false, true})}},
      {.name = "bools",
       .inputs = {tensor<bool>({2}, {true, false}), tensor<bool>({1}, {false})},
       .outputs = {tensor<bool>({2}, {false, true})}},
      {.name = "int64",
       .inputs = {tensor<int64_t>({2}, {INT64_MAX, 1}), tensor<int64_t>({2}, {INT64_MAX - 1, 1})},
       .outputs = {tensor<bool>({2}, {false, true})}},
      {.name = "mixed types", .inputs = {tensor<float>({1}, {1}), tensor<int32_t>({1}, {1})}, .error = "input 1 is int32"},
  };
}

}  // namespace cameo::ops
