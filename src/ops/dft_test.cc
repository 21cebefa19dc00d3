#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(DFT) {
  const Tensor real = tensor<float>({1, 4, 1}, {1, 2, 3, 4});
  const Tensor spectrum = tensor<float>({1, 4, 2}, {10, 0, -2, 2, -2, 0, -2, -2});
  const Tensor half = tensor<float>({1, 3, 2}, {10, 0, -2, 2, -2, 0});
  return {
      {.name = "real", .inputs = {real}, .outputs = {spectrum}},
      {.name = "version 17 has the axis as attribute",
       .attributes = {{"axis", "1"}},
       .inputs = {real},
       .outputs = {spectrum},
       .version = 17},
      {.name = "one-sided", .attributes = {{"onesided", "1"}}, .inputs = {real}, .outputs = {half}},
      {.name = "inverse",
       .attributes = {{"inverse", "1"}},
       .inputs = {spectrum},
       .outputs = {tensor<float>({1, 4, 2}, {1, 0, 2, 0, 3, 0, 4, 0})}},
      {.name = "back from one side", .attributes = {{"inverse", "1"}, {"onesided", "1"}}, .inputs = {half}, .outputs = {real}},
      {.name = "back from one side to an odd length",
       .attributes = {{"inverse", "1"}, {"onesided", "1"}},
       .inputs = {tensor<double>({1, 2, 2}, {6, 0, -1.5, 0.8660254037844386}), tensor<int64_t>({}, {3})},
       .outputs = {tensor<double>({1, 3, 1}, {1, 2, 3})}},
      {.name = "a length that is no power of two",
       .inputs = {tensor<double>({1, 3, 1}, {1, 2, 3})},
       .outputs = {tensor<double>({1, 3, 2}, {6, 0, -1.5, 0.8660254037844386, -1.5, -0.8660254037844386})},
       .tolerance = 1e-12},
      {.name = "cut and along another axis",
       .inputs = {tensor<float>({3, 1, 1}, {1, 2, 9}), tensor<int64_t>({}, {2}), tensor<int64_t>({}, {0})},
       .outputs = {tensor<float>({2, 1, 2}, {3, 0, -1, 0})}},
      {.name = "filled with zeros",
       .inputs = {tensor<float>({1, 1, 2}, {1, 1}), tensor<int32_t>({}, {2})},
       .outputs = {tensor<float>({1, 2, 2}, {1, 1, 1, 1})}},
      {.name = "no lines", .inputs = {tensor<float>({0, 4, 1}, {})}, .outputs = {tensor<float>({0, 4, 2}, {})}},
      {.name = "the last axis", .inputs = {real, Tensor(), tensor<int64_t>({}, {-1})}, .error = "the last axis holds"},
      {.name = "no samples", .inputs = {tensor<float>({1, 0, 1}, {})}, .error = "the length of the transform is 0"},
      {.name = "three parts", .inputs = {tensor<float>({1, 1, 3}, {1, 2, 3})}, .error = "last extent is 3"},
  };
}

}  // namespace cameo::ops
