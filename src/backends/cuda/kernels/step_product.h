// Products of a decoder's step for up to 64 rows, in 16 bits, on Hopper. Weights are on their way to shared memory before a
// kernel waits for the one before it; k is divided among the blocks of a cluster, which send each other their sums.
#pragma once

#include "backends/cuda/kernels/skinny_gemm.h"

namespace cameo::cuda {

// Mean of 64 neighbouring numbers of a row, and the sum of their squared distances from it.
struct RowPart {
  float mean, spread;
};

// y = act(norm(x) W^T + bias) + residual. A norm costs no kernel of its own: the product before it leaves x times the norm's
// weight w and the means and spreads of x by 64 columns, and with norm(x) = (x - mean) / deviation * w + b
//   norm(x) W^T = ((x w) W^T - mean (w W^T)) / deviation + b W^T,
// where w W^T and b W^T + bias are known before (norm_sums()).
struct StepProductArgs {
  Scalar type = Scalar::kFloat16;
  int32_t m = 0, n = 0, k = 0;     // k a multiple of 64, n of 16
  const void* x = nullptr;         // [m, k]; with `parts`: x w / kScaledBy
  const void* w = nullptr;         // [n, k]
  const void* bias = nullptr;      // [n] or null
  const void* residual = nullptr;  // [m, n] or null; may be y
  void* y = nullptr;               // [m, n]; kSwiGlu: [m, n / 2]
  Activation activation = Activation::kNone;
  const RowPart* parts = nullptr;  // [m, k / 64] of x; null: x as it is
  NormKind norm = NormKind::kNone;
  const float* norm_sums = nullptr;  // [n, 2], with the bias
  float epsilon = 1e-5f;
  // For the norm behind this product, n a multiple of 64; null: none.
  RowPart* parts_out = nullptr;       // [m, n / 64]
  const void* next_weight = nullptr;  // [n], of that norm
  void* scaled_out = nullptr;         // [m, n]
};
inline constexpr float kScaledBy = 16.f;  // so that x w does not overflow float16 where x does not

const char* step_product_refusal(const StepProductArgs& args, const DeviceTraits& device);
cudaError_t step_product(const StepProductArgs& args, const DeviceTraits& device, cudaStream_t stream);

// to[n, 2]: of each row of W its product with the norm's weight, and with the norm's bias (null: 0) plus the bias (null: 0).
cudaError_t norm_sums(Scalar type, int32_t n, int32_t k, const void* w, const void* bias, const void* norm_weight, const void* norm_bias,
                      float* to, cudaStream_t stream);

struct SkinnySampling;

// The head: logits = x W^T + bias, and the choice of the token (skinny_gemm.cuh; without `best`: none).
struct StepHeadArgs {
  Scalar type = Scalar::kFloat16;
  int32_t m = 0, n = 0, k = 0;  // k a multiple of 64
  const void* x = nullptr;      // [m, k]
  const void* w = nullptr;      // [n, k]
  const void* bias = nullptr;   // [n] or null
  void* logits = nullptr;       // [m, n] or null: not kept
  // As above; norm_sums: [n, 2] in memory for an even n.
  const RowPart* parts = nullptr;
  NormKind norm = NormKind::kNone;
  const float* norm_sums = nullptr;
  float epsilon = 1e-5f;
};

const char* step_head_refusal(const StepHeadArgs& args, const DeviceTraits& device);
cudaError_t step_head(const StepHeadArgs& args, const SkinnySampling& sampling, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
