// Products of a transformer's layers for some dozens to some hundreds of rows, in 16 bits, on Hopper: too few to fill the GPU with large
// tiles, so that k is divided among the blocks of a cluster, which send each other their sums. W is on its way to shared memory before a
// kernel waits for the one before it.
#pragma once

#include <vector>

#include "backends/cuda/kernels/step_product.h"

namespace cameo::cuda {

// y = act(norm(x) W^T + bias) + residual. Norms cost no kernels of their own, as in step_product.h: the product before one leaves
// v w / kScaledBy, with the norm's weight w, and the means and spreads of v by 32 columns.
struct RowsProductArgs {
  Scalar type = Scalar::kFloat16;
  int32_t m = 0, n = 0, k = 0;  // k a multiple of 64, n of 32
  const void* x = nullptr;      // [m, k]; with `parts`: v w / kScaledBy
  const void* w = nullptr;      // [n, k]
  const void* bias = nullptr;   // [n] or null
  Activation activation = Activation::kNone;
  const RowPart* parts = nullptr;  // [m, k / 32] of v; null: x as it is
  NormKind norm = NormKind::kLayer;
  const float* norm_sums = nullptr;         // [n, 2], with the bias
  float epsilon = 1e-5f;                    // of both norms
  const void* residual = nullptr;           // [m, n] or null; may be y. With `residual_parts` v w / kScaledBy, and norm(v) is added
  const RowPart* residual_parts = nullptr;  // [m, n / 32]
  const void* residual_weight = nullptr;    // [n], of that norm
  const void* residual_bias = nullptr;      // [n] or null
  void* y = nullptr;                        // [m, n]; may be null where scaled_out is not
  // For the norm behind this product; null: none.
  RowPart* parts_out = nullptr;       // [m, n / 32]
  const void* next_weight = nullptr;  // [n], of that norm
  void* scaled_out = nullptr;         // [m, n]
};

// A block has 64 rows, so many columns, and a part of k; `share` blocks with other columns receive x together.
struct RowsTiling {
  int16_t columns = 64, parts = 1, share = 1;
};

// All that may be the fastest, the likeliest first; none where the product is not covered.
std::vector<RowsTiling> rows_tilings(const RowsProductArgs& args, const DeviceTraits& device);
const char* rows_product_refusal(const RowsProductArgs& args, const RowsTiling& tiling, const DeviceTraits& device);
cudaError_t rows_product(const RowsProductArgs& args, const RowsTiling& tiling, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
