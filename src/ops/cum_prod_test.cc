#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(CumProd) {
  return {
      {.name = "plain", .inputs = {tensor<double>({3}, {1, 2, 3}), tensor<int32_t>({}, {0})}, .outputs = {tensor<double>({3}, {1, 2, 6})}},
      {.name = "exclusive",
       .attributes = {{"exclusive", "1"}},
       .inputs = {tensor<double>({3}, {1, 2, 3}), tensor<int32_t>({}, {0})},
       .outputs = {tensor<double>({3}, {1, 1, 2})}},
      {.name = "reverse",
       .attributes = {{"reverse", "1"}},
       .inputs = {tensor<double>({3}, {1, 2, 3}), tensor<int32_t>({}, {0})},
       .outputs = {tensor<double>({3}, {6, 6, 3})}},
      {.name = "both",
       .attributes = {{"exclusive", "1"}, {"reverse", "1"}},
       .inputs = {tensor<double>({3}, {1, 2, 3}), tensor<int32_t>({}, {0})},
       .outputs = {tensor<double>({3}, {6, 3, 1})}},
      {.name = "first axis",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({1}, {0})},
       .outputs = {tensor<float>({2, 2}, {1, 2, 3, 8})}},
      {.name = "last axis",
       .inputs = {tensor<float>({2, 2}, {1, 2, 3, 4}), tensor<int64_t>({}, {-1})},
       .outputs = {tensor<float>({2, 2}, {1, 2, 3, 12})}},
      {.name = "integers",
       .inputs = {tensor<int32_t>({2}, {INT32_MAX, 2}), tensor<int64_t>({}, {0})},
       .outputs = {tensor<int32_t>({2}, {INT32_MAX, -2})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {2}, {1, 2}), tensor<int64_t>({}, {0})},
       .outputs = {numbers(DType::kFloat16, {2}, {1, 2})}},
      {.name = "no elements", .inputs = {tensor<float>({0}, {}), tensor<int64_t>({}, {0})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "axis out of range", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({}, {1})}, .error = "axis is 1"},
      {.name = "axis that is a list", .inputs = {tensor<float>({2}, {1, 2}), tensor<int64_t>({2}, {0, 0})}, .error = "axis has shape [2]"},
  };
}

}  // namespace cameo::ops
