#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Adagrad) {
  const Tensor rate = tensor<double>({}, {0.5}), count = tensor<int64_t>({}, {2});
  const Tensor x = tensor<double>({2}, {1, 2}), g = tensor<double>({2}, {3, 0}), h = tensor<double>({2}, {16, 1});
  const std::string domain = "ai.onnx.preview.training";
  return {
      {.name = "decay",
       .attributes = {{"decay_factor", "0.5"}, {"epsilon", "0"}},
       .inputs = {rate, count, x, g, h},
       .outputs = {tensor<double>({2}, {0.85, 2}), tensor<double>({2}, {25, 1})},
       .domain = domain},
      {.name = "shapes differ",
       .inputs = {rate, count, x, g, tensor<double>({1}, {0})},
       .outputs = {x, h},
       .error = "the gradient or state",
       .domain = domain},
  };
}

}  // namespace cameo::ops
