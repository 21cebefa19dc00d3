#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Gelu) {
  return {
      {.name = "values", .inputs = {tensor<float>({3}, {-1, 0, 2})}, .outputs = {tensor<float>({3}, {-0.158655254f, 0, 1.95449974f})}},
      {.name = "tanh",
       .attributes = {{"approximate", "'tanh'"}},
       .inputs = {tensor<float>({3}, {-1, 0, 2})},
       .outputs = {tensor<float>({3}, {-0.158808009f, 0, 1.95459769f})}},
      {.name = "half",
       .inputs = {numbers(DType::kFloat16, {1}, {1})},
       .outputs = {numbers(DType::kFloat16, {1}, {0.8413447460685429})},
       .tolerance = 1e-2},
      {.name = "unknown", .attributes = {{"approximate", "'erf'"}}, .inputs = {tensor<float>({1}, {1})}, .error = "approximate is 'erf'"},
      {.name = "not for integers", .inputs = {tensor<int32_t>({1}, {1})}, .error = "input 0 is int32[1]"},
  };
}

}  // namespace cameo::ops
