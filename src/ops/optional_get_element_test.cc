#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(OptionalGetElement) {
  const Tensor a = tensor<float>({1}, {1});
  return {
      {.name = "of an optional", .inputs = {RtValue::optional(RtValue::of(a))}, .outputs = {a}},
      {.name = "of an optional sequence", .inputs = {RtValue::optional(sequence({a}))}, .outputs = {sequence({a})}},
      {.name = "of a tensor", .inputs = {a}, .outputs = {a}},
      {.name = "of nothing", .inputs = {RtValue::optional(std::nullopt)}, .error = "the optional is empty"},
  };
}

}  // namespace cameo::ops
