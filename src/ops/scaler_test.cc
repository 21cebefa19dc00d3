#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Scaler) {
  const std::string ml = "ai.onnx.ml";
  const Tensor x = tensor<int64_t>({2, 2}, {1, 2, 3, 4});
  return {
      {.name = "by feature",
       .attributes = {{"offset", "[1, 2]"}, {"scale", "[2, 0.5]"}},
       .inputs = {x},
       .outputs = {tensor<float>({2, 2}, {0, 0, 4, 1})},
       .domain = ml},
      {.name = "one for all",
       .attributes = {{"scale", "[2]"}},
       .inputs = {x},
       .outputs = {tensor<float>({2, 2}, {2, 4, 6, 8})},
       .domain = ml},
      {.name = "wrong number",
       .attributes = {{"offset", "[1, 2, 3]"}},
       .inputs = {x},
       .error = "offset has 3 entries; the input has 2 features",
       .domain = ml},
  };
}

}  // namespace cameo::ops
