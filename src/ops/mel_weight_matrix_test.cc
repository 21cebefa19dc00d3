#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(MelWeightMatrix) {
  const Tensor two = tensor<int64_t>({}, {2}), eight = tensor<int64_t>({}, {8}), rate = tensor<int64_t>({}, {8000});
  const Tensor low = tensor<float>({}, {100}), high = tensor<float>({}, {3000});
  return {
      {.name = "two bands", .inputs = {two, eight, rate, low, high}, .outputs = {tensor<float>({5, 2}, {1, 0, 0, 1, 0, 0, 0, 0, 0, 0})}},
      {.name = "no bands", .inputs = {tensor<int64_t>({}, {0}), eight, rate, low, high}, .outputs = {tensor<float>({5, 0}, {})}},
      {.name = "no rate", .inputs = {two, eight, tensor<int64_t>({}, {0}), low, high}, .error = "sample_rate is 0"},
      {.name = "beyond the spectrum", .inputs = {two, eight, rate, low, tensor<float>({}, {90000})}, .error = "outside of the 5 bins"},
      {.name = "not a number", .inputs = {two, eight, rate, tensor<float>({}, {-900}), high}, .error = "outside of the 5 bins"},
  };
}

}  // namespace cameo::ops
