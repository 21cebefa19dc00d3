#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(BatchNormalization) {
  return {
      {.name = "inference",
       .attributes = {{"epsilon", "0"}},
       .inputs = {tensor<float>({1, 2, 2}, {1, 2, 3, 4}), tensor<float>({2}, {1, 2}), tensor<float>({2}, {0, 10}),
                  tensor<float>({2}, {1, 3}), tensor<float>({2}, {4, 0.25})},
       .outputs = {tensor<float>({1, 2, 2}, {0, 0.5, 10, 14})}},
      {.name = "training gives running moments",
       .attributes = {{"epsilon", "0"}, {"training_mode", "1"}, {"momentum", "0.5"}},
       .inputs = {tensor<float>({2, 1, 2}, {1, 3, 5, 7}), tensor<float>({1}, {1}), tensor<float>({1}, {0}), tensor<float>({1}, {0}),
                  tensor<float>({1}, {1})},
       .outputs = {tensor<float>({2, 1, 2}, {-1.3416408f, -0.4472136f, 0.4472136f, 1.3416408f}), tensor<float>({1}, {2}),
                   tensor<float>({1}, {3})}},
      {.name = "version 9 trains when it has more outputs",
       .attributes = {{"epsilon", "0"}, {"momentum", "0.5"}},
       .inputs = {tensor<float>({2, 1}, {1, 3}), tensor<float>({1}, {1}), tensor<float>({1}, {0}), tensor<float>({1}, {0}),
                  tensor<float>({1}, {1})},
       .outputs = {tensor<float>({2, 1}, {-1, 1}), tensor<float>({1}, {1}), tensor<float>({1}, {1}), tensor<float>({1}, {2}),
                   tensor<float>({1}, {1})},
       .version = 9},
      {.name = "version 7 with a statistic for each element",
       .attributes = {{"epsilon", "0"}, {"spatial", "0"}},
       .inputs = {tensor<float>({2, 1, 2}, {1, 2, 3, 4}), tensor<float>({1, 2}, {1, 2}), tensor<float>({1, 2}, {0, 0}),
                  tensor<float>({1, 2}, {1, 1}), tensor<float>({1, 2}, {1, 1})},
       .outputs = {tensor<float>({2, 1, 2}, {0, 2, 2, 6})},
       .version = 7},
      {.name = "statistics of another type",
       .attributes = {{"epsilon", "0"}},
       .inputs = {numbers(DType::kFloat16, {1, 1, 1}, {3}), tensor<float>({1}, {2}), tensor<float>({1}, {1}), tensor<double>({1}, {1}),
                  tensor<double>({1}, {4})},
       .outputs = {numbers(DType::kFloat16, {1, 1, 1}, {3})}},
      {.name = "no elements",
       .inputs = {tensor<float>({0, 1, 2}, {}), tensor<float>({1}, {1}), tensor<float>({1}, {0}), tensor<float>({1}, {0}),
                  tensor<float>({1}, {1})},
       .outputs = {tensor<float>({0, 1, 2}, {})}},
      {.name = "scale for other channels",
       .inputs = {tensor<float>({1, 2}, {1, 2}), tensor<float>({1}, {1}), tensor<float>({1}, {0}), tensor<float>({1}, {0}),
                  tensor<float>({1}, {1})},
       .error = "scale has shape [1]; [2] is expected"},
  };
}

}  // namespace cameo::ops
