#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Gather) {
  return {
      {.name = "rows",
       .inputs = {tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({2}, {2, -3})},
       .outputs = {tensor<float>({2, 2}, {5, 6, 1, 2})}},
      {.name = "last axis",
       .attributes = {{"axis", "-1"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int32_t>({1, 1}, {1})},
       .outputs = {tensor<float>({2, 1, 1}, {2, 4})}},
      {.name = "scalar index",
       .inputs = {tensor<std::string>({2}, {"a", "b"}), tensor<int64_t>({}, {1})},
       .outputs = {tensor<std::string>({}, {"b"})}},
      {.name = "no index", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({0}, {})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "index out of range",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {2})},
       .error = "index 2 at position 0 is out of range; the extent is 2"},
      {.name = "index too negative", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({1}, {-3})}, .error = "index -3"},
      {.name = "nothing to gather from", .inputs = {tensor<float>({0}, {}), tensor<int64_t>({1}, {0})}, .error = "index 0"},
  };
}

}  // namespace cameo::ops
