#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LinearRegressor) {
  const std::string ml = "ai.onnx.ml";
  const Tensor x = tensor<float>({2, 2}, {1, 2, 3, 4});
  return {
      {.name = "two targets",
       .attributes = {{"coefficients", "[1, 0, 1, 1]"}, {"intercepts", "[0.5, 0]"}, {"targets", "2"}},
       .inputs = {x},
       .outputs = {tensor<float>({2, 2}, {1.5f, 3, 3.5f, 7})},
       .domain = ml},
      {.name = "logistic",
       .attributes = {{"coefficients", "[0, 0]"}, {"post_transform", "'LOGISTIC'"}},
       .inputs = {tensor<int32_t>({2}, {1, 2})},
       .outputs = {tensor<float>({1, 1}, {0.5f})},
       .domain = ml},
      {.name = "too few coefficients",
       .attributes = {{"coefficients", "[1]"}},
       .inputs = {x},
       .error = "there are 1 coefficients for 1 targets and 2 features",
       .domain = ml},
  };
}

}  // namespace cameo::ops
