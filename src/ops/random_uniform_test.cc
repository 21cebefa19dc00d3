#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RandomUniform) {
  return {
      {.name = "the numbers of numpy",
       .attributes = {{"shape", "[3]"}, {"seed", "7"}, {"low", "1"}, {"high", "3"}},
       .outputs = {tensor<float>({3}, {1.1526166f, 2.5598375f, 1.8768185f})}},
      {.name = "no element", .attributes = {{"shape", "[0]"}}, .outputs = {tensor<float>({0}, {})}},
      {.name = "too large", .attributes = {{"shape", "[4611686018427387904, 4]"}}, .error = "too many elements"},
  };
}

}  // namespace cameo::ops
