#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(OptionalHasElement) {
  const Tensor a = tensor<float>({1}, {1}), yes = tensor<bool>({}, {true}), no = tensor<bool>({}, {false});
  return {
      {.name = "full", .inputs = {RtValue::optional(RtValue::of(a))}, .outputs = {yes}},
      {.name = "empty", .inputs = {RtValue::optional(std::nullopt)}, .outputs = {no}},
      {.name = "a tensor", .inputs = {a}, .outputs = {yes}},
      {.name = "an empty sequence", .inputs = {sequence({})}, .outputs = {yes}},
      {.name = "absent", .inputs = {Tensor()}, .outputs = {no}},
      {.name = "no input", .outputs = {no}},
      {.name = "no input before version 18", .error = "lacks its input 0", .version = 15},
  };
}

}  // namespace cameo::ops
