#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LRN) {
  return {
      {.name = "an even size reaches further up",
       .attributes = {{"size", "2"}, {"alpha", "2"}, {"beta", "1"}},
       .inputs = {tensor<float>({1, 3, 1}, {1, 2, 3})},
       .outputs = {tensor<float>({1, 3, 1}, {1 / 6.f, 2 / 14.f, 3 / 10.f})}},
      {.name = "larger than the channels",
       .attributes = {{"size", "9000000000"}, {"alpha", "0"}, {"bias", "4"}, {"beta", "0.5"}},
       .inputs = {tensor<float>({1, 2, 1}, {1, 2})},
       .outputs = {tensor<float>({1, 2, 1}, {0.5, 1})}},
      {.name = "size is missing", .inputs = {tensor<float>({1, 2, 1}, {1, 2})}, .error = "size is 0"},
  };
}

}  // namespace cameo::ops
