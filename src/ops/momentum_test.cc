#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Momentum) {
  const Tensor rate = tensor<float>({}, {0.5f}), first = tensor<int64_t>({}, {0}), second = tensor<int64_t>({}, {1});
  const Tensor x = tensor<float>({1}, {1}), g = tensor<float>({1}, {2}), v = tensor<float>({1}, {4});
  const std::string domain = "ai.onnx.preview.training";
  return {
      {.name = "first update takes the whole gradient",
       .attributes = {{"alpha", "0.5"}, {"beta", "0.25"}, {"norm_coefficient", "1"}, {"mode", "'standard'"}},
       .inputs = {rate, first, x, g, v},
       .outputs = {tensor<float>({1}, {-1.5f}), tensor<float>({1}, {5})},
       .domain = domain},
      {.name = "nesterov, two tensors",
       .attributes = {{"alpha", "0.5"}, {"beta", "0.5"}, {"mode", "'nesterov'"}},
       .inputs = {rate, second, x, x, g, g, v, v},
       .outputs = {tensor<float>({1}, {-0.75f}), tensor<float>({1}, {-0.75f}), tensor<float>({1}, {3}), tensor<float>({1}, {3})},
       .domain = domain},
      {.name = "unknown mode",
       .attributes = {{"mode", "'fast'"}},
       .inputs = {rate, first, x, g, v},
       .outputs = {x, v},
       .error = "mode is 'fast'",
       .domain = domain},
  };
}

}  // namespace cameo::ops
