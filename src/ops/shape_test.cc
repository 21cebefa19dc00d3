#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Shape) {
  return {
      {.name = "all", .inputs = {tensor<float>({2, 0, 3}, {})}, .outputs = {tensor<int64_t>({3}, {2, 0, 3})}},
      {.name = "scalar", .inputs = {tensor<float>({}, {1})}, .outputs = {tensor<int64_t>({0}, {})}},
      {.name = "slice",
       .attributes = {{"start", "1"}, {"end", "-1"}},
       .inputs = {tensor<float>({2, 0, 3, 4}, {})},
       .outputs = {tensor<int64_t>({2}, {0, 3})}},
      {.name = "clamped",
       .attributes = {{"start", "-9"}, {"end", "9"}},
       .inputs = {tensor<float>({0, 3}, {})},
       .outputs = {tensor<int64_t>({2}, {0, 3})}},
      {.name = "end before start",
       .attributes = {{"start", "2"}, {"end", "1"}},
       .inputs = {tensor<float>({0, 3}, {})},
       .outputs = {tensor<int64_t>({0}, {})}},
  };
}

}  // namespace cameo::ops
