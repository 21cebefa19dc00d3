#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(GRU) {
  return {
      {.name = "initial state, bias",
       .attributes = {{"hidden_size", "2"}},
       .inputs = {tensor<float>({2, 1, 1}, {0.7f, 0.3f}), tensor<float>({1, 6, 1}, {0, -0.45f, -0.4f, -0.95f, -0.85f, -1}),
                  tensor<float>({1, 6, 2}, {-0.65f, 0.65f, 0.3f, 0.85f, 0, 0.2f, 0.95f, 0.45f, 0.25f, 0.1f, 0.1f, 0.9f}),
                  tensor<float>({1, 12}, {-0.45f, 0.65f, 0.35f, -1, -0.2f, 0.75f, 0.1f, -0.95f, 0.55f, 0.45f, 0.7f, -0.65f}), Tensor(),
                  tensor<float>({1, 1, 2}, {-0.85f, 0.75f})},
       .outputs = {tensor<float>({2, 1, 1, 2}, {-0.6411022f, 0.05133265f, -0.2724919f, -0.1298219f}),
                   tensor<float>({1, 1, 2}, {-0.2724919f, -0.1298219f})}},
      {.name = "bidirectional, sequence lengths, activations",
       .attributes = {{"direction", "'bidirectional'"},
                      {"hidden_size", "1"},
                      {"activations", "['HardSigmoid', 'ScaledTanh', 'Sigmoid', 'Softsign']"},
                      {"activation_alpha", "[0.3, 1.5]"},
                      {"activation_beta", "[0.4, 0.5]"},
                      {"linear_before_reset", "1"}},
       .inputs = {tensor<float>({3, 2, 1}, {-1, 0.1f, -0.85f, -0.4f, -0.05f, -0.15f}),
                  tensor<float>({2, 3, 1}, {-0.2f, -0.95f, -1, -0.75f, -1, 0.35f}),
                  tensor<float>({2, 3, 1}, {0.05f, 0.3f, -0.5f, 0.25f, 0.55f, -0.25f}), Tensor(), tensor<int32_t>({2}, {3, 1})},
       .outputs = {tensor<float>({3, 2, 2, 1}, {0.3743149f, -0.04541214f, -0.1386928f, 0.01754197f, 0.4535472f, 0, -0.08461194f, 0,
                                                0.1623228f, 0, -0.008438286f, 0}),
                   tensor<float>({2, 2, 1}, {0.1623228f, -0.04541214f, -0.1386928f, 0.01754197f})}},
      {.name = "reverse, sequence lengths, clip",
       .attributes = {{"direction", "'reverse'"}, {"hidden_size", "1"}, {"clip", "0.3"}},
       .inputs = {tensor<float>({3, 2, 1}, {-0.1f, 1, 0.65f, 1, -0.25f, 0.4f}), tensor<float>({1, 3, 1}, {0.9f, 0.3f, 0.7f}),
                  tensor<float>({1, 3, 1}, {0.4f, 0.4f, -0.25f}), Tensor(), tensor<int32_t>({2}, {3, 1})},
       .outputs = {tensor<float>({3, 1, 2, 1}, {-0.007182695f, 0.1239703f, 0.0686393f, 0, -0.09632115f, 0}),
                   tensor<float>({1, 2, 1}, {-0.007182695f, 0.1239703f})}},
      {.name = "sequence length out of range",
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1}),
                  Tensor(), tensor<int32_t>({1}, {2})},
       .error = "sequence_lens[0] is 2; allowed: 0 to 1"},
      {.name = "W for another input",
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 3, 2}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1})},
       .error = "W has shape [1, 3, 2]; [1, 3, 1] is expected"},
      {.name = "unknown direction",
       .attributes = {{"direction", "'backward'"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1})},
       .error = "direction is 'backward'"},
      {.name = "unknown activation",
       .attributes = {{"activations", "['Gelu', 'Tanh']"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1}), numbers(DType::kFloat32, {1, 3, 1}, {1})},
       .error = "activations names 'Gelu'"},
  };
}

}  // namespace cameo::ops
