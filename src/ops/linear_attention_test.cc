#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(LinearAttention) {
  return {
      {.name = "linear",
       .attributes = {{"update_rule", "'linear'"}, {"q_num_heads", "1"}, {"kv_num_heads", "1"}, {"scale", "1"}},
       .inputs = {tensor<float>({1, 2, 1}, {1, 2}), tensor<float>({1, 2, 1}, {3, 1}), tensor<float>({1, 2, 2}, {1, 2, 10, 20})},
       .outputs = {tensor<float>({1, 2, 2}, {3, 6, 26, 52}), tensor<float>({1, 1, 1, 2}, {13, 26})}},
      {.name = "gated_delta from a state, two query heads share it",
       .attributes = {{"q_num_heads", "2"}, {"kv_num_heads", "1"}, {"scale", "2"}},
       .inputs = {tensor<float>({1, 1, 2}, {1, 10}), tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {5}),
                  tensor<float>({1, 1, 1, 1}, {3}), tensor<float>({1, 1, 1}, {0}), tensor<float>({1, 1, 1}, {0.5})},
       .outputs = {tensor<float>({1, 1, 2}, {8, 80}), tensor<float>({1, 1, 1, 1}, {4})}},
      {.name = "decay is missing",
       .attributes = {{"update_rule", "'gated'"}, {"q_num_heads", "1"}, {"kv_num_heads", "1"}},
       .inputs = {tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {5})},
       .error = "update_rule 'gated' needs the input decay"},
      {.name = "heads do not divide",
       .attributes = {{"update_rule", "'linear'"}, {"q_num_heads", "3"}, {"kv_num_heads", "2"}},
       .inputs = {tensor<float>({1, 1, 3}, {1, 1, 1}), tensor<float>({1, 1, 2}, {1, 1}), tensor<float>({1, 1, 2}, {5, 5})},
       .error = "q_num_heads is 3; it must be a positive multiple of kv_num_heads, 2"},
  };
}

}  // namespace cameo::ops
