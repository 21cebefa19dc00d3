#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RandomNormal) {
  return {
      {.name = "the numbers of numpy",
       .attributes = {{"shape", "[3]"}, {"seed", "7"}, {"scale", "2"}, {"mean", "1"}},
       .outputs = {tensor<float>({3}, {4.3810514f, 0.0681254f, 1.0656403f})}},
      {.name = "half precision",
       .attributes = {{"shape", "[1]"}, {"seed", "7"}, {"dtype", "10"}},
       .outputs = {numbers(DType::kFloat16, {1}, {1.6905})},
       .tolerance = 1e-3},
      {.name = "no integers", .attributes = {{"shape", "[1]"}, {"dtype", "6"}}, .error = "dtype is int32"},
      {.name = "no type", .attributes = {{"shape", "[1]"}, {"dtype", "99"}}, .error = "dtype is 99"},
      {.name = "negative shape", .attributes = {{"shape", "[-1]"}}, .error = "negative extent -1"},
  };
}

}  // namespace cameo::ops
