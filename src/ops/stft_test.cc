#include "ops/op_test.h"

namespace cameo::ops {

OP_TEST(STFT) {
  const Tensor signal = tensor<float>({1, 4, 1}, {1, 2, 3, 4});
  const Tensor one = tensor<int64_t>({}, {1}), two = tensor<int64_t>({}, {2});
  return {
      {.name = "frames of two",
       .inputs = {signal, two, Tensor(), two},
       .outputs = {tensor<float>({1, 2, 2, 2}, {3, 0, -1, 0, 7, 0, -1, 0})}},
      {.name = "the window gives the length",
       .inputs = {signal, one, tensor<float>({3}, {0, 1, 0})},
       .outputs = {tensor<float>({1, 2, 2, 2}, {2, 0, -1, -1.7320508f, 3, 0, -1.5f, -2.5980762f})}},
      {.name = "both sides of a complex signal",
       .attributes = {{"onesided", "0"}},
       .inputs = {tensor<double>({1, 2, 2}, {0, 1, 0, 1}), one},
       .outputs = {tensor<double>({1, 1, 2, 2}, {0, 2, 0, 0})}},
      {.name = "window and length differ",
       .inputs = {signal, one, tensor<float>({3}, {0, 1, 0}), two},
       .error = "frame_length is 2, but the window has 3 elements"},
      {.name = "no step", .inputs = {signal, tensor<int64_t>({}, {0})}, .error = "frame_step is 0"},
      {.name = "frame longer than the signal",
       .inputs = {signal, one, Tensor(), tensor<int64_t>({}, {5})},
       .error = "the signal has 4 samples"},
  };
}

}  // namespace cameo::ops
