#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Upsample) {
  return {
      {.name = "nearest",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<float>({2}, {2, 1.5f})},
       .outputs = {tensor<float>({2, 3}, {1, 1, 2, 1, 1, 2})},
       .version = 9},
      {.name = "linear",
       .attributes = {{"mode", "'linear'"}, {"scales", "[2]"}},
       .inputs = {tensor<float>({2}, {1, 3})},
       .outputs = {tensor<float>({4}, {1, 2, 3, 3})},
       .version = 7},
      {.name = "version 1",
       .attributes = {{"height_scale", "1"}, {"width_scale", "2"}},
       .inputs = {tensor<float>({1, 1, 1, 2}, {1, 2})},
       .outputs = {tensor<float>({1, 1, 1, 4}, {1, 1, 2, 2})},
       .version = 1},
      {.name = "wrong number of scales",
       .attributes = {{"scales", "[2, 2]"}},
       .inputs = {tensor<float>({2}, {1, 3})},
       .error = "there are 2 scales",
       .version = 7},
  };
}

}  // namespace cameo::ops
