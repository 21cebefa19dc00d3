#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(BlackmanWindow) {
  const Tensor four = tensor<int64_t>({}, {4});
  return {
      {.name = "periodic", .inputs = {four}, .outputs = {numbers(DType::kFloat32, {4}, {0, 0.34, 1, 0.34})}},
      {.name = "symmetric",
       .attributes = {{"periodic", "0"}, {"output_datatype", "11"}},
       .inputs = {four},
       .outputs = {numbers(DType::kFloat64, {4}, {0, 0.63, 0.63, 0})}},
      {.name = "one sample", .attributes = {{"periodic", "0"}}, .inputs = {tensor<int32_t>({}, {1})}, .outputs = {tensor<float>({1}, {1})}},
      {.name = "none", .inputs = {tensor<int64_t>({}, {0})}, .outputs = {tensor<float>({0}, {})}},
      {.name = "negative", .inputs = {tensor<int64_t>({}, {-1})}, .error = "size is -1"},
      {.name = "not for strings", .attributes = {{"output_datatype", "8"}}, .inputs = {four}, .error = "output_datatype is 8"},
  };
}

}  // namespace cameo::ops
