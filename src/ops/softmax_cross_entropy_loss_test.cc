#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(SoftmaxCrossEntropyLoss) {
  return {
      {.name = "sum, and log_prob",
       .attributes = {{"reduction", "'sum'"}},
       .inputs = {tensor<float>({1, 2}, {1000, 1000}), tensor<int64_t>({1}, {1})},
       .outputs = {tensor<float>({}, {0.6931472f}), tensor<float>({1, 2}, {-0.6931472f, -0.6931472f})}},
      {.name = "no reduction, weights, a label to ignore",
       .attributes = {{"reduction", "'none'"}, {"ignore_index", "0"}},
       .inputs = {tensor<double>({2, 2}, {0, 0, 0, 0}), tensor<int64_t>({2}, {1, 0}), tensor<double>({2}, {1, 2})},
       .outputs = {tensor<double>({2}, {1.3862943611198906, 0})}},
      {.name = "labels of another shape",
       .inputs = {tensor<float>({1, 2}, {0, 0}), tensor<int64_t>({2}, {1, 0})},
       .error = "labels has shape [2]; [1] is expected"},
  };
}

}  // namespace cameo::ops
