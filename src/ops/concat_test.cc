#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Concat) {
  return {
      {.name = "rows",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<float>({2, 2}, {3, 4, 5, 6})},
       .outputs = {tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6})}},
      {.name = "columns",
       .attributes = {{"axis", "-1"}},
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<float>({2, 2}, {3, 4, 5, 6}), tensor<float>({2, 0}, {})},
       .outputs = {tensor<float>({2, 3}, {1, 3, 4, 2, 5, 6})}},
      {.name = "version 1 joins along axis 1",
       .inputs = {tensor<float>({1, 1}, {1}), tensor<float>({1, 1}, {2})},
       .outputs = {tensor<float>({1, 2}, {1, 2})},
       .version = 1},
      {.name = "strings",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<std::string>({1}, {"a"}), tensor<std::string>({1}, {"b"})},
       .outputs = {tensor<std::string>({2}, {"a", "b"})}},
      {.name = "no axis", .inputs = {tensor<float>({1}, {1})}, .error = "lacks the attribute axis"},
      {.name = "extents differ",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<float>({1, 1}, {1}), tensor<float>({1, 2}, {1, 2})},
       .error = "extents beside the axis: 2 where 1 is expected"},
      {.name = "types differ",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<float>({1}, {1}), tensor<int64_t>({1}, {1})},
       .error = "input 1 is int64, but input 0 is float32"},
  };
}

}  // namespace cameo::ops
