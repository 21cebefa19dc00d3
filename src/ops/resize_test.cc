#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Resize) {
  return {
      {.name = "nearest by sizes",
       .inputs = {tensor<float>({1, 2}, {1, 2}), Tensor(), Tensor(), tensor<int64_t>({2}, {2, 4})},
       .outputs = {tensor<float>({2, 4}, {1, 1, 2, 2, 1, 1, 2, 2})}},
      {.name = "linear, half pixel",
       .attributes = {{"mode", "'linear'"}},
       .inputs = {tensor<float>({2}, {1, 3}), Tensor(), tensor<float>({1}, {2})},
       .outputs = {tensor<float>({4}, {1, 1.5f, 2.5f, 3})}},
      {.name = "linear, aligned corners, two axes",
       .attributes = {{"mode", "'linear'"}, {"coordinate_transformation_mode", "'align_corners'"}},
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), Tensor(), Tensor(), tensor<int64_t>({2}, {3, 3})},
       .outputs = {tensor<float>({3, 3}, {1, 1.5f, 2, 2, 2.5f, 3, 3, 3.5f, 4})}},
      {.name = "antialias averages",
       .attributes = {{"mode", "'linear'"}, {"antialias", "1"}, {"axes", "[1]"}},
       .inputs = {tensor<uint8_t>({1, 4}, {0, 10, 20, 30}), Tensor(), tensor<float>({1}, {0.5f})},
       .outputs = {tensor<uint8_t>({1, 2}, {6, 24})}},
      {.name = "version 10 rounds down",
       .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({1}, {1.5f})},
       .outputs = {tensor<float>({3}, {1, 1, 2})},
       .version = 10},
      {.name = "version 11 takes empty lists for absent inputs",
       .inputs = {tensor<std::string>({1}, {"a"}), tensor<float>({0}, {}), tensor<float>({0}, {}), tensor<int64_t>({1}, {2})},
       .outputs = {tensor<std::string>({2}, {"a", "a"})},
       .version = 11},
      {.name = "crop",
       .attributes = {{"mode", "'linear'"}, {"coordinate_transformation_mode", "'tf_crop_and_resize'"}, {"extrapolation_value", "-1"}},
       .inputs = {tensor<float>({3}, {1, 2, 3}), tensor<float>({2}, {0.5f, 1.5f}), Tensor(), tensor<int64_t>({1}, {3})},
       .outputs = {tensor<float>({3}, {2, 3, -1})}},
      {.name = "aspect ratio kept",
       .attributes = {{"keep_aspect_ratio_policy", "'not_larger'"}},
       .inputs = {tensor<float>({1, 2}, {1, 2}), Tensor(), Tensor(), tensor<int64_t>({2}, {3, 4})},
       .outputs = {tensor<float>({2, 4}, {1, 1, 2, 2, 1, 1, 2, 2})}},
      {.name = "to nothing",
       .inputs = {tensor<float>({2}, {1, 2}), Tensor(), Tensor(), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({0}, {})}},
      {.name = "from nothing", .inputs = {tensor<float>({0}, {}), Tensor(), Tensor(), tensor<int64_t>({1}, {1})}, .error = "axis 0 has no element"},
      {.name = "neither scales nor sizes", .inputs = {tensor<float>({1}, {1})}, .error = "neither scales nor sizes"},
      {.name = "scale 0", .inputs = {tensor<float>({1}, {1}), Tensor(), tensor<float>({1}, {0})}, .error = "a scale is 0"},
      {.name = "scale too large", .inputs = {tensor<float>({1}, {1}), Tensor(), tensor<float>({1}, {1e30f})}, .error = "cannot be scaled by"},
      {.name = "unknown mode",
       .attributes = {{"mode", "'area'"}},
       .inputs = {tensor<float>({1}, {1}), Tensor(), tensor<float>({1}, {1})},
       .error = "mode is 'area'; allowed: nearest, linear, cubic"},
  };
}

}  // namespace cameo::ops
