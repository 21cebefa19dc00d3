#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(Optional) {
  const Tensor a = tensor<float>({1}, {1});
  return {
      {.name = "holds a tensor", .inputs = {a}, .outputs = {RtValue::optional(RtValue::of(a))}},
      {.name = "empty", .attributes = {{"type", "'sequence(float32[5])'"}}, .outputs = {RtValue::optional(std::nullopt)}},
      {.name = "neither", .error = "neither an input nor the attribute 'type'"},
      {.name = "no such type", .attributes = {{"type", "'list(float32)'"}}, .error = "names no type"},
  };
}

}  // namespace cameo::ops
