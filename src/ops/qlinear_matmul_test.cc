#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(QLinearMatMul) {
  return {
      {.name = "uint8",
       .inputs = {tensor<uint8_t>({2, 4}, {208, 236, 0, 238, 3, 214, 255, 29}), tensor<float>({}, {0.0066f}), tensor<uint8_t>({}, {113}),
                  tensor<uint8_t>({4, 3}, {152, 51, 244, 60, 26, 255, 0, 127, 246, 127, 254, 247}), tensor<float>({}, {0.00705f}),
                  tensor<uint8_t>({}, {114}), tensor<float>({}, {0.0107f}), tensor<uint8_t>({}, {118})},
       .outputs = {tensor<uint8_t>({2, 3}, {168, 115, 255, 1, 66, 151})}},
      {.name = "scales a row and a column",
       .inputs = {tensor<int8_t>({2, 1}, {10, 20}), tensor<float>({2}, {1, 2}), tensor<int8_t>({2}, {0, 10}),
                  tensor<int8_t>({1, 2}, {3, 4}), tensor<float>({2}, {1, 0.5f}), tensor<int8_t>({2}, {0, 0}), tensor<float>({}, {10}),
                  tensor<int8_t>({}, {1})},
       .outputs = {tensor<int8_t>({2, 2}, {4, 3, 7, 5})}},
      {.name = "saturates",
       .inputs = {tensor<int8_t>({1, 1}, {100}), tensor<float>({}, {1}), tensor<int8_t>({}, {0}), tensor<int8_t>({1, 1}, {-100}),
                  tensor<float>({}, {1}), tensor<int8_t>({}, {0}), tensor<float>({}, {1}), tensor<int8_t>({}, {0})},
       .outputs = {tensor<int8_t>({1, 1}, {-128})}},
      {.name = "float8",
       .inputs = {numbers(DType::kFloat8E4M3FN, {1, 2}, {1.5, 2}), tensor<float>({}, {1}), numbers(DType::kFloat8E4M3FN, {}, {0}),
                  numbers(DType::kFloat8E4M3FN, {2, 1}, {2, 4}), tensor<float>({}, {1}), numbers(DType::kFloat8E4M3FN, {}, {0}),
                  tensor<float>({}, {1}), numbers(DType::kFloat8E4M3FN, {}, {0})},
       .outputs = {numbers(DType::kFloat8E4M3FN, {1, 1}, {11})}},
      {.name = "a scale that fits nothing",
       .inputs = {tensor<int8_t>({2, 1}, {10, 20}), tensor<float>({3}, {1, 2, 3}), tensor<int8_t>({}, {0}), tensor<int8_t>({1, 2}, {3, 4}),
                  tensor<float>({}, {1}), tensor<int8_t>({}, {0}), tensor<float>({}, {10}), tensor<int8_t>({}, {1})},
       .error = "a_scale has shape 3"},
  };
}

}  // namespace cameo::ops
