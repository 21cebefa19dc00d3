#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(ConcatFromSequence) {
  const Tensor a = tensor<float>({1, 2}, {1, 2}), b = tensor<float>({2, 2}, {3, 4, 5, 6});
  return {
      {.name = "along an axis",
       .attributes = {{"axis", "0"}},
       .inputs = {sequence({a, b})},
       .outputs = {tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6})}},
      {.name = "along a new one",
       .attributes = {{"axis", "-1"}, {"new_axis", "1"}},
       .inputs = {sequence({a, tensor<float>({1, 2}, {7, 8})})},
       .outputs = {tensor<float>({1, 2, 2}, {1, 7, 2, 8})}},
      {.name = "strings",
       .attributes = {{"axis", "0"}, {"new_axis", "1"}},
       .inputs = {sequence({tensor<std::string>({}, {"a"}), tensor<std::string>({}, {"b"})})},
       .outputs = {tensor<std::string>({2}, {"a", "b"})}},
      {.name = "shapes differ", .attributes = {{"axis", "1"}}, .inputs = {sequence({a, b})}, .error = "element 1 of the sequence"},
      {.name = "empty", .attributes = {{"axis", "0"}}, .inputs = {sequence({}, DType::kFloat32)}, .error = "nothing to concatenate"},
      {.name = "axis out of range", .attributes = {{"axis", "2"}}, .inputs = {sequence({a})}, .error = "axis is 2"},
  };
}

}  // namespace cameo::ops
