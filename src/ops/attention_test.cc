#include <limits>

#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Attention) {
  return {
      {.name = "one query, equal scores",
       .inputs = {tensor<float>({1, 1, 1, 2}, {0, 0}), tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4}), tensor<float>({1, 1, 2, 1}, {1, 3})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {2})}},
      {.name = "scores after each step",
       .attributes = {{"scale", "1"}, {"softcap", "2"}, {"qk_matmul_output_mode", "0"}},
       .inputs = {tensor<double>({1, 1, 1, 1}, {2}), tensor<double>({1, 1, 2, 1}, {1, 1}), tensor<double>({1, 1, 2, 1}, {1, 3})},
       .outputs = {tensor<double>({1, 1, 1, 1}, {2}), Tensor(), Tensor(), tensor<double>({1, 1, 1, 2}, {2, 2})}},
      {.name = "softcap",
       .attributes = {{"scale", "1"}, {"softcap", "2"}, {"qk_matmul_output_mode", "1"}},
       .inputs = {tensor<double>({1, 1, 1, 1}, {2}), tensor<double>({1, 1, 2, 1}, {1, 1}), tensor<double>({1, 1, 2, 1}, {1, 3})},
       .outputs = {tensor<double>({1, 1, 1, 1}, {2}), Tensor(), Tensor(),
                   tensor<double>({1, 1, 1, 2}, {1.5231883119115297, 1.5231883119115297})}},
      {.name = "causal after a past, grouped query heads, present",
       .attributes = {{"is_causal", "1"}, {"qk_matmul_output_mode", "3"}},
       .inputs = {tensor<float>({1, 2, 2, 1}, {0, 0, 0, 0}), tensor<float>({1, 1, 2, 1}, {5, 6}), tensor<float>({1, 1, 2, 1}, {3, 6}),
                  Tensor(), tensor<float>({1, 1, 1, 1}, {4}), tensor<float>({1, 1, 1, 1}, {0})},
       .outputs = {tensor<float>({1, 2, 2, 1}, {1.5, 3, 1.5, 3}), tensor<float>({1, 1, 3, 1}, {4, 5, 6}),
                   tensor<float>({1, 1, 3, 1}, {0, 3, 6}),
                   tensor<float>({1, 2, 2, 3}, {0.5, 0.5, 0, 1 / 3.f, 1 / 3.f, 1 / 3.f, 0.5, 0.5, 0, 1 / 3.f, 1 / 3.f, 1 / 3.f})}},
      {.name = "a query that sees nothing gives zeros",
       .inputs = {tensor<float>({1, 1, 2, 1}, {0, 0}), tensor<float>({1, 1, 2, 1}, {1, 1}),
                  tensor<float>({1, 1, 2, 1}, {std::numeric_limits<float>::infinity(), 3}),
                  tensor<bool>({2, 2}, {false, false, false, true})},
       .outputs = {tensor<float>({1, 1, 2, 1}, {0, std::numeric_limits<float>::quiet_NaN()})}},
      {.name = "a shorter mask leaves the other keys out",
       .inputs = {tensor<float>({1, 1, 1, 1}, {0}), tensor<float>({1, 1, 2, 1}, {1, 1}), tensor<float>({1, 1, 2, 1}, {1, 3}),
                  tensor<float>({1}, {0})},
       .outputs = {tensor<float>({1, 1, 1, 1}, {1})}},
      {.name = "packed heads, lengths of the keys",
       .attributes = {{"q_num_heads", "2"}, {"kv_num_heads", "1"}},
       .inputs = {tensor<float>({2, 1, 2}, {0, 0, 0, 0}), tensor<float>({2, 2, 1}, {1, 1, 1, 1}), tensor<float>({2, 2, 1}, {1, 3, 5, 7}),
                  Tensor(), Tensor(), Tensor(), tensor<int64_t>({2}, {1, 2})},
       .outputs = {tensor<float>({2, 1, 2}, {1, 1, 6, 6})}},
      {.name = "a window to the left",
       .attributes = {{"left_window_size", "0"}, {"right_window_size", "0"}},
       .inputs = {tensor<float>({1, 1, 2, 1}, {0, 0}), tensor<float>({1, 1, 2, 1}, {1, 1}), tensor<float>({1, 1, 2, 1}, {1, 3})},
       .outputs = {tensor<float>({1, 1, 2, 1}, {1, 3})}},
      {.name = "lengths out of range",
       .inputs = {tensor<float>({1, 1, 1, 1}, {0}), tensor<float>({1, 1, 1, 1}, {1}), tensor<float>({1, 1, 1, 1}, {1}), Tensor(), Tensor(),
                  Tensor(), tensor<int64_t>({1}, {2})},
       .error = "nonpad_kv_seqlen[0] is 2; allowed: 0 to 1"},
      {.name = "heads do not divide",
       .inputs = {tensor<float>({1, 3, 1, 1}, {0, 0, 0}), tensor<float>({1, 2, 1, 1}, {1, 1}), tensor<float>({1, 2, 1, 1}, {1, 1})},
       .error = "there are 3 query heads for 2 heads"},
      {.name = "rank 3 without heads",
       .inputs = {tensor<float>({1, 1, 1}, {0}), tensor<float>({1, 1, 1}, {1}), tensor<float>({1, 1, 1}, {1})},
       .error = "needs the attributes q_num_heads and kv_num_heads"},
      {.name = "mask for more keys",
       .inputs = {tensor<float>({1, 1, 1, 1}, {0}), tensor<float>({1, 1, 1, 1}, {1}), tensor<float>({1, 1, 1, 1}, {1}),
                  tensor<float>({2}, {0, 0})},
       .error = "attn_mask [2] is for 2 keys, but there are 1"},
  };
}

}  // namespace cameo::ops
