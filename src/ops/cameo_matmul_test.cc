#include "ops/cameo_op_test.h"

namespace cameo::ops {

CAMEO_OP_TEST(MatMul) {
  const Tensor a = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), b = tensor<float>({3, 2}, {1, 0, 0, 1, 1, 1});
  const Tensor at = tensor<float>({3, 2}, {1, 4, 2, 5, 3, 6}), bt = tensor<float>({2, 3}, {1, 0, 1, 0, 1, 1});
  const Tensor y = tensor<float>({2, 2}, {4, 5, 10, 11});
  return {
      {.name = "plain", .inputs = {a, b}, .outputs = {y}},
      {.name = "A transposed", .attributes = {{"trans_a", "1"}}, .inputs = {at, b}, .outputs = {y}},
      {.name = "B transposed", .attributes = {{"trans_b", "1"}}, .inputs = {a, bt}, .outputs = {y}},
      {.name = "both transposed, scaled",
       .attributes = {{"trans_a", "1"}, {"trans_b", "1"}, {"alpha", "0.5"}},
       .inputs = {at, bt},
       .outputs = {tensor<float>({2, 2}, {2, 2.5, 5, 5.5})}},
      {.name = "bias, Relu and residual",
       .attributes = {{"program", "[0, 0, 1, 0, 24, 3, 0, 0, 0, 4, 2, 0]"}},
       .inputs = {a, b, tensor<float>({2}, {-100, 1}), tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({2, 2}, {1, 8, 3, 16})}},
      {.name = "batches broadcast on both sides, A transposed",
       .attributes = {{"trans_a", "1"}},
       .inputs = {tensor<float>({2, 1, 2, 1}, {1, 2, 3, 4}), tensor<float>({2, 2, 1}, {1, 1, 10, 10})},
       .outputs = {tensor<float>({2, 2, 1, 1}, {3, 30, 7, 70})}},
      {.name = "batches of A alone, transposed",
       .attributes = {{"trans_a", "1"}},
       .inputs = {tensor<float>({2, 1, 2}, {1, 2, 3, 4}), tensor<float>({1, 1}, {10})},
       .outputs = {tensor<float>({2, 2, 1}, {10, 20, 30, 40})}},
      {.name = "split columns with an epilogue over all of them",
       .attributes = {{"splits", "[1, 2]"}, {"program", "[0, 0, 1, 0]"}},
       .inputs = {tensor<float>({2, 1}, {1, 2}), tensor<float>({1, 3}, {1, 10, 100}), tensor<float>({3}, {1, 2, 3})},
       .outputs = {tensor<float>({2, 1}, {2, 3}), tensor<float>({2, 2}, {12, 103, 22, 203})}},
      {.name = "depth zero",
       .attributes = {{"program", "[0, 0, -1, 0]"}, {"constants", "[7]"}},
       .inputs = {tensor<float>({1, 0}, {}), tensor<float>({0, 2}, {})},
       .outputs = {tensor<float>({1, 2}, {7, 7})}},
      {.name = "no rows",
       .inputs = {tensor<float>({0, 2}, {}), tensor<float>({2, 2}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({0, 2}, {})}},
      {.name = "rank 1", .inputs = {tensor<float>({2}, {1, 2}), tensor<float>({2, 1}, {1, 2})}, .error = "rank 2 or more"},
      {.name = "depths differ", .attributes = {{"trans_b", "1"}}, .inputs = {a, b}, .error = "cannot be multiplied"},
      {.name = "operand larger than the product",
       .attributes = {{"program", "[0, 0, 1, 0]"}},
       .inputs = {tensor<float>({1, 1}, {1}), tensor<float>({1, 1}, {1}), tensor<float>({2, 1}, {1, 2})},
       .error = "does not broadcast"},
      {.name = "splits of another sum", .attributes = {{"splits", "[1]"}}, .inputs = {a, b}, .error = "2 columns, but splits has 1"},
      {.name = "splits below zero", .attributes = {{"splits", "[-1]"}}, .inputs = {a, b}, .error = "splits holds -1"},
      {.name = "splits without outputs", .attributes = {{"splits", "[1, 1]"}}, .inputs = {a, b}, .error = "splits asks for 2"},
      {.name = "operand that no instruction reads", .inputs = {a, b, tensor<float>({}, {1})}, .error = "no instruction"},
  };
}

}  // namespace cameo::ops
