#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(NegativeLogLikelihoodLoss) {
  return {
      {.name = "mean",
       .inputs = {tensor<float>({2, 2}, {-1, -2, -3, -4}), tensor<int64_t>({2}, {1, 0})},
       .outputs = {tensor<float>({}, {2.5})}},
      {.name = "weights and a label to ignore",
       .attributes = {{"ignore_index", "-5"}},
       .inputs = {tensor<float>({3, 2}, {-1, -2, -3, -4, -5, -6}), tensor<int32_t>({3}, {1, 0, -5}), tensor<float>({2}, {3, 1})},
       .outputs = {tensor<float>({}, {2.75})}},
      {.name = "no reduction, spatial axes",
       .attributes = {{"reduction", "'none'"}},
       .inputs = {tensor<float>({1, 2, 2}, {-1, -2, -3, -4}), tensor<int64_t>({1, 2}, {1, 0})},
       .outputs = {tensor<float>({1, 2}, {3, 2})}},
      {.name = "label out of range",
       .inputs = {tensor<float>({1, 2}, {-1, -2}), tensor<int64_t>({1}, {2})},
       .error = "label 0 is 2; allowed: 0 to 1"},
      {.name = "unknown reduction",
       .attributes = {{"reduction", "'max'"}},
       .inputs = {tensor<float>({1, 2}, {-1, -2}), tensor<int64_t>({1}, {0})},
       .error = "reduction is 'max'"},
  };
}

}  // namespace cameo::ops
