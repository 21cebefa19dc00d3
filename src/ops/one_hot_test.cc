#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(OneHot) {
  return {
      {.name = "last axis",
       .inputs = {tensor<int64_t>({3}, {0, -1, 7}), tensor<int64_t>({}, {2}), tensor<float>({2}, {0, 5})},
       .outputs = {tensor<float>({3, 2}, {5, 0, 0, 5, 0, 0})}},
      {.name = "first axis, float indices",
       .attributes = {{"axis", "0"}},
       .inputs = {tensor<float>({2}, {1.7f, -1e30f}), tensor<float>({1}, {2}), tensor<std::string>({2}, {"off", "on"})},
       .outputs = {tensor<std::string>({2, 2}, {"off", "off", "on", "off"})}},
      {.name = "depth 0",
       .inputs = {tensor<int64_t>({1}, {0}), tensor<int64_t>({}, {0}), tensor<float>({2}, {0, 5})},
       .outputs = {tensor<float>({1, 0}, {})}},
      {.name = "depth negative",
       .inputs = {tensor<int64_t>({1}, {0}), tensor<int64_t>({}, {-1}), tensor<float>({2}, {0, 5})},
       .error = "depth is -1"},
      {.name = "three values",
       .inputs = {tensor<int64_t>({1}, {0}), tensor<int64_t>({}, {1}), tensor<float>({3}, {0, 5, 6})},
       .error = "the extent of values: 3 where 2 is expected"},
      {.name = "axis out of range",
       .attributes = {{"axis", "2"}},
       .inputs = {tensor<int64_t>({1}, {0}), tensor<int64_t>({}, {1}), tensor<float>({2}, {0, 5})},
       .error = "axis is 2"},
  };
}

}  // namespace cameo::ops
