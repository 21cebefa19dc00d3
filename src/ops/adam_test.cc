#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Adam) {
  const Tensor rate = tensor<float>({}, {0.1f}), first = tensor<int64_t>({}, {0}), third = tensor<int64_t>({}, {2});
  const Tensor x = tensor<float>({1}, {1}), g = tensor<float>({1}, {2}), zero = tensor<float>({1}, {0});
  const std::string domain = "ai.onnx.preview.training";
  return {
      {.name = "first update",
       .attributes = {{"alpha", "0.5"}, {"beta", "0.75"}, {"epsilon", "0"}},
       .inputs = {rate, first, x, g, zero, zero},
       .outputs = {tensor<float>({1}, {0.9f}), tensor<float>({1}, {1}), tensor<float>({1}, {1})},
       .domain = domain},
      {.name = "bias correction, regularisation before and after",
       .attributes = {{"alpha", "0.5"}, {"beta", "0.75"}, {"epsilon", "0"}, {"norm_coefficient", "2"}, {"norm_coefficient_post", "0.5"}},
       .inputs = {rate, third, x, g, zero, zero},
       .outputs = {tensor<float>({1}, {0.45590414f}), tensor<float>({1}, {2}), tensor<float>({1}, {4})},
       .domain = domain},
      {.name = "inputs do not come in groups",
       .inputs = {rate, first, x, g, zero},
       .outputs = {x, x, x},
       .error = "for n tensors there must be 2 + 4 n and 3 n",
       .domain = domain},
  };
}

}  // namespace cameo::ops
