// y = act(x w^T + bias + residual) in 16 bits for many rows, on Hopper's warpgroup tensor cores: products and convolutions over
// images with the channels last, by the persistent kernel of quantized_product.h. The arguments are those of tile_gemm.h, but that w
// lies in the order of wide_weight_offset(), an image's channels are a multiple of 8, and the addend goes in before the activation.
#pragma once

#include "backends/cuda/kernels/tile_gemm.h"

namespace cameo::cuda {

// Elements of a weight of n columns and k rows, and where element (row, column) lies in it: blocks of 64 columns by 64 rows, in which
// a column is 128 bytes whose pieces of 16 are permuted as shared memory wants them. Columns lie so that of each 32 a thread has the sums
// of 8 neighbours: column 8 q + 2 i + e at 8 i + 2 q + e. The padding is zero.
constexpr int64_t wide_weight_elements(int64_t n, int64_t k) { return (n + 63) / 64 * ((k + 63) / 64) * 4096; }
constexpr int64_t wide_weight_offset(int64_t k, int64_t row, int64_t column) {
  const int64_t block = column / 64 * ((k + 63) / 64) + row / 64, r = row % 64;
  const int64_t c = column % 64 / 32 * 32 + column % 8 / 2 * 8 + column % 32 / 8 * 2 + column % 2;
  return block * 4096 + c * 64 + ((r / 8) ^ (c % 8)) * 8 + r % 8;
}

// Ways to do it: 64 columns to a tile with two blocks a multiprocessor, one of which multiplies while the other finishes; 128, 192 or 256
// with one and more stages. Then 64, 128 or 256 columns with the sum over k divided among 2, 4 or 8 blocks of a cluster.
// Last, for products, turns_product.h.
inline constexpr int kUndividedVariants = 4, kWideTurns = kUndividedVariants + 9, kWideVariants = kWideTurns + 1;
constexpr int wide_columns(int variant) {
  constexpr int kColumns[] = {64, 128, 192, 256, 64, 128, 256};
  if (variant == kWideTurns) return 192;
  return kColumns[variant < kUndividedVariants ? variant : kUndividedVariants + (variant - kUndividedVariants) / 3];
}
constexpr int wide_parts(int variant) {
  return variant < kUndividedVariants || variant == kWideTurns ? 1 : 2 << (variant - kUndividedVariants) % 3;
}
const char* wide_product_refusal(const TileGemmArgs& args, int variant, const DeviceTraits& device);
cudaError_t wide_product(const TileGemmArgs& args, int variant, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
