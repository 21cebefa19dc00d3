#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(TreeEnsemble) {
  // Its trees are tensor attributes, which tables cannot write; trees_test.cc and the official cases run them.
  return {
      {.name = "no trees",
       .attributes = {{"n_targets", "2"}},
       .inputs = {tensor<float>({1, 1}, {1})},
       .error = "nodes_modes must be a uint8 tensor",
       .domain = "ai.onnx.ml"},
      {.name = "unknown aggregation",
       .attributes = {{"aggregate_function", "4"}},
       .inputs = {tensor<float>({1, 1}, {1})},
       .error = "aggregate_function is 4",
       .domain = "ai.onnx.ml"},
      {.name = "no matrix", .inputs = {tensor<float>({1}, {1})}, .error = "the input has rank 1", .domain = "ai.onnx.ml"},
  };
}

}  // namespace cameo::ops
