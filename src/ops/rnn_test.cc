#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(RNN) {
  return {
      {.name = "initial state, bias",
       .attributes = {{"hidden_size", "2"}},
       .inputs = {tensor<float>({2, 1, 1}, {0.7f, 0.3f}), tensor<float>({1, 2, 1}, {0, -0.45f}),
                  tensor<float>({1, 2, 2}, {-0.4f, -0.95f, -0.85f, -1}), tensor<float>({1, 4}, {-0.65f, 0.65f, 0.3f, 0.85f}), Tensor(),
                  tensor<float>({1, 1, 2}, {0, 0.2f})},
       .outputs = {tensor<float>({2, 1, 1, 2}, {-0.4929879f, 0.7552222f, -0.7015092f, 0.7734337f}),
                   tensor<float>({1, 1, 2}, {-0.7015092f, 0.7734337f})}},
      {.name = "bidirectional, sequence lengths, activations",
       .attributes = {{"direction", "'bidirectional'"},
                      {"hidden_size", "1"},
                      {"activations", "['Relu', 'Affine']"},
                      {"activation_alpha", "[0.5]"},
                      {"activation_beta", "[0.25]"}},
       .inputs = {tensor<float>({3, 2, 1}, {0.95f, 0.45f, 0.25f, 0.1f, 0.1f, 0.9f}), tensor<float>({2, 1, 1}, {-0.45f, 0.65f}),
                  tensor<float>({2, 1, 1}, {0.35f, -1}), Tensor(), tensor<int32_t>({2}, {3, 1})},
       .outputs = {tensor<float>({3, 2, 2, 1}, {0, 0, 0.46375f, 0.39625f, 0, 0, 0.19f, 0, 0, 0, 0.2825f, 0}),
                   tensor<float>({2, 2, 1}, {0, 0, 0.46375f, 0.39625f})}},
      {.name = "reverse, sequence lengths, clip",
       .attributes = {{"direction", "'reverse'"}, {"hidden_size", "1"}, {"clip", "0.3"}},
       .inputs = {tensor<float>({3, 2, 1}, {-0.2f, 0.75f, 0.1f, -0.95f, 0.55f, 0.45f}), tensor<float>({1, 1, 1}, {0.7f}),
                  tensor<float>({1, 1, 1}, {-0.65f}), Tensor(), tensor<int32_t>({2}, {3, 1})},
       .outputs = {tensor<float>({3, 1, 2, 1}, {-0.06270438f, 0.2913126f, -0.1187896f, 0, 0.2913126f, 0}),
                   tensor<float>({1, 2, 1}, {-0.06270438f, 0.2913126f})}},
      {.name = "sequence length out of range",
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1}),
                  Tensor(), tensor<int32_t>({1}, {2})},
       .error = "sequence_lens[0] is 2; allowed: 0 to 1"},
      {.name = "W for another input",
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 2}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1})},
       .error = "W has shape [1, 1, 2]; [1, 1, 1] is expected"},
      {.name = "unknown direction",
       .attributes = {{"direction", "'backward'"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1})},
       .error = "direction is 'backward'"},
      {.name = "unknown activation",
       .attributes = {{"activations", "['Gelu']"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1}), numbers(DType::kFloat32, {1, 1, 1}, {1})},
       .error = "activations names 'Gelu'"},
  };
}

}  // namespace cameo::ops
