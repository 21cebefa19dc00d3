// y = act(x w^T + bias + residual) in 16 bits for many rows, on Hopper's warpgroup tensor cores: products and convolutions over
// images with the channels last, by the persistent kernel of quantized_product.h.
#pragma once

#include "backends/cuda/kernels/tile_gemm.h"

namespace cameo::cuda {

struct WideProductArgs {
  Scalar type = Scalar::kFloat16;  // of everything
  int32_t m = 0, n = 0, k = 0;     // n and k multiples of 8
  const void* x = nullptr;         // [m, k], or an image whose channels are a multiple of 8
  const void* w = nullptr;         // in the order of wide_weight_offset()
  const void* bias = nullptr;      // [n] or null
  const void* residual = nullptr;  // [m, n] or null
  void* y = nullptr;               // [m, n]
  TileActivation activation = TileActivation::kNone;
  bool convolution = false;
  TileWindow window;
  TileBehind behind;       // as TileGemmArgs has it
  bool dependent = false;  // programmatic dependent launch: w is read before the kernel before is done
};

// Elements of a weight of n columns and k rows, and where element (row, column) lies in it: blocks of 64 columns by 64 rows, in which
// a column is 128 bytes whose pieces of 16 are permuted as shared memory wants them. The padding is zero.
constexpr int64_t wide_weight_elements(int64_t n, int64_t k) { return (n + 63) / 64 * ((k + 63) / 64) * 4096; }
constexpr int64_t wide_weight_offset(int64_t k, int64_t row, int64_t column) {
  const int64_t block = column / 64 * ((k + 63) / 64) + row / 64, c = column % 64, r = row % 64;
  return block * 4096 + c * 64 + ((r / 8) ^ (c % 8)) * 8 + r % 8;
}

// Ways to do it: 64 columns to a tile with two blocks a multiprocessor, one of which multiplies while the other finishes; 128, 192 or 256
// with one and more stages.
inline constexpr int kWideVariants = 4;
constexpr int wide_columns(int variant) {
  constexpr int kColumns[kWideVariants] = {64, 128, 192, 256};
  return kColumns[variant];
}
const char* wide_product_refusal(const WideProductArgs& args, int variant, const DeviceTraits& device);
cudaError_t wide_product(const WideProductArgs& args, int variant, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
