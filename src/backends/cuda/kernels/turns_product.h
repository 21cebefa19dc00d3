// y = act(scale x w^T + bias) for many rows, of 16 bits or 8-bit floats, on Hopper's warpgroup tensor cores: tiles of 128 rows by 192
// columns, which two warpgroups take in turns, so that one finishes its tile while the other multiplies. Sums are those of the tensor
// cores.
#pragma once

#include "backends/cuda/kernels/quantized_product.h"

namespace cameo::cuda {

struct TurnsArgs {
  Element x_type = Element::kFloat16;  // kFloat16, kBFloat16, kFloat8
  int32_t m = 0, n = 0, k = 0;         // rows of x and y have a multiple of 16 bytes, those of x kTurnsLeastBytes
  const void* x = nullptr;             // [m, k]
  const void* w = nullptr;             // in the order of wide_weight_offset(), or quantized_weight_offset()
  const void* bias = nullptr;          // [n] or null; beside 8-bit floats float16 in the order of turns_bias_offset()
  float scale = 1;                     // of 8-bit floats
  QuantizedProductArgs::Activation activation = QuantizedProductArgs::Activation::kNone;  // kGelu or none
  Element y_type = Element::kFloat16;                                                     // that of x, or of 8-bit floats float16 as well
  float y_factor = 1;                                                                     // of 8-bit floats: the value in units of y
  void* y = nullptr;                                                                      // [m, n]
  bool dependent = false;  // programmatic dependent launch: w and bias are read before the kernel before is done
};

inline constexpr int64_t kTurnsLeastBytes = 640;
// Biases beside 8-bit floats, and where that of column c is among them: as W's columns.
constexpr int64_t turns_biases(int64_t n) { return (n + 63) / 64 * 64; }
constexpr int64_t turns_bias_offset(int64_t c) { return c / 64 * 64 + c % 16 / 2 * 8 + c % 64 / 16 * 2 + c % 2; }

const char* turns_product_refusal(const TurnsArgs& args, const DeviceTraits& device);
cudaError_t turns_product(const TurnsArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
