#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(CenterCropPad) {
  return {
      {.name = "crop and pad",
       .inputs = {tensor<float>({1, 4}, {1, 2, 3, 4}), tensor<int64_t>({2}, {2, 1})},
       .outputs = {tensor<float>({2, 1}, {2, 0})}},
      {.name = "axes",
       .attributes = {{"axes", "[-1]"}},
       .inputs = {tensor<int8_t>({1, 1}, {1}), tensor<int32_t>({1}, {4})},
       .outputs = {tensor<int8_t>({1, 4}, {0, 1, 0, 0})}},
      {.name = "from nothing", .inputs = {tensor<float>({0}, {}), tensor<int64_t>({1}, {2})}, .outputs = {tensor<float>({2}, {0, 0})}},
      {.name = "negative", .inputs = {tensor<float>({1}, {1}), tensor<int64_t>({1}, {-1})}, .error = "negative extent -1"},
      {.name = "wrong length", .inputs = {tensor<float>({1}, {1}), tensor<int64_t>({2}, {1, 1})}, .error = "2 extents for 1 axes"},
  };
}

}  // namespace cameo::ops
