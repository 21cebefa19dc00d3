#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Split) {
  return {
      {.name = "equal parts",
       .inputs = {tensor<float>({4}, {1, 2, 3, 4})},
       .outputs = {tensor<float>({2}, {1, 2}), tensor<float>({2}, {3, 4})},
       .version = 13},
      {.name = "lengths",
       .attributes = {{"axis", "1"}},
       .inputs = {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), tensor<int64_t>({3}, {2, 0, 1})},
       .outputs = {tensor<float>({2, 2}, {1, 2, 4, 5}), tensor<float>({2, 0}, {}), tensor<float>({2, 1}, {3, 6})}},
      {.name = "a smaller last part",
       .attributes = {{"num_outputs", "2"}},
       .inputs = {tensor<float>({3}, {1, 2, 3})},
       .outputs = {tensor<float>({2}, {1, 2}), tensor<float>({1}, {3})}},
      {.name = "version 2 has an attribute",
       .attributes = {{"split", "[1, 2]"}},
       .inputs = {tensor<float>({3}, {1, 2, 3})},
       .outputs = {tensor<float>({1}, {1}), tensor<float>({2}, {2, 3})},
       .version = 2},
      {.name = "no equal parts",
       .inputs = {tensor<float>({3}, {1, 2, 3})},
       .outputs = {tensor<float>({1}, {1}), tensor<float>({1}, {1})},
       .error = "cannot be split into 2 equal parts",
       .version = 13},
      {.name = "wrong sum",
       .inputs = {tensor<float>({3}, {1, 2, 3}), tensor<int64_t>({1}, {2})},
       .error = "adds up to 2, but the extent is 3"},
      {.name = "negative length",
       .inputs = {tensor<float>({3}, {1, 2, 3}), tensor<int64_t>({2}, {4, -1})},
       .outputs = {tensor<float>({1}, {1}), tensor<float>({1}, {1})},
       .error = "negative length -1"},
  };
}

}  // namespace cameo::ops
