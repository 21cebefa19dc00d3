#include <cmath>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GlobalMaxPool) {
  return {
      {.name = "two channels", .inputs = {tensor<float>({1, 2, 3}, {-1, -2, -3, 5, 7, 6})}, .outputs = {tensor<float>({1, 2, 1}, {-1, 7})}},
      {.name = "NaN wins", .inputs = {tensor<float>({1, 1, 3}, {1, NAN, 3})}, .outputs = {tensor<float>({1, 1, 1}, {NAN})}},
  };
}

}  // namespace cameo::ops
