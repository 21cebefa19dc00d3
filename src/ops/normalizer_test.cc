#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Normalizer) {
  const std::string ml = "ai.onnx.ml";
  const Tensor x = tensor<float>({2, 2}, {3, -4, 0, 0});
  return {
      {.name = "largest", .inputs = {x}, .outputs = {tensor<float>({2, 2}, {0.75f, -1, 0, 0})}, .domain = ml},
      {.name = "sum",
       .attributes = {{"norm", "'L1'"}},
       .inputs = {tensor<double>({2}, {3, -1})},
       .outputs = {tensor<float>({2}, {0.75f, -0.25f})},
       .domain = ml},
      {.name = "length",
       .attributes = {{"norm", "'L2'"}},
       .inputs = {x},
       .outputs = {tensor<float>({2, 2}, {0.6f, -0.8f, 0, 0})},
       .domain = ml},
      {.name = "unknown", .attributes = {{"norm", "'L3'"}}, .inputs = {x}, .error = "norm is 'L3'", .domain = ml},
  };
}

}  // namespace cameo::ops
