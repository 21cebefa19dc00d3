// Normalisations and softmax over rows, and the sums around them, in one pass over memory.
#pragma once

#include "backends/cuda/kernels/kernel.h"
#include "backends/cuda/kernels/skinny_gemm.h"

namespace cameo::cuda {

// h = x + x_bias + residual;  y = (h - mean) / sqrt(variance + epsilon) * weight + bias  (kRms: h / sqrt(mean h^2 + epsilon)
// * weight). Statistics in float32, by two passes over registers.
struct NormArgs {
  Scalar type = Scalar::kFloat16;
  NormKind kind = NormKind::kLayer;
  int64_t rows = 0;
  int32_t size = 0;  // of a row, at most kMaxNormSize; rows lie one behind the other
  const void* x = nullptr;
  const void* x_bias = nullptr;    // [size] or null
  const void* residual = nullptr;  // [rows, size] or null
  void* sum = nullptr;             // h, or null; may be x or residual
  const void* weight = nullptr;    // [size] or null
  const void* bias = nullptr;      // [size] or null
  void* y = nullptr;               // may be x
  void* rounded = nullptr;         // y * rounded_factor as float8e4m3fn too, saturated; or null. Needs compute capability 8.9
  float rounded_factor = 1.f;
  bool constant = false;  // no kernel that may still run writes weight or bias: they are read before it is done
  float epsilon = 1e-5f;
  // Embedding: where ids are given, x is not read and h is the sum of rows of up to three tables.
  const int64_t* ids = nullptr;  // [rows]; ids out of range give zeros
  const void* table = nullptr;   // [vocabulary, size]
  int64_t vocabulary = 0;
  const int64_t* positions = nullptr;    // [rows], or null: row r stands at position r % period + position_offset
  const void* position_table = nullptr;  // [position_rows, size] or null
  int64_t position_rows = 0, period = 1, position_offset = 0;
  const int64_t* types = nullptr;  // [rows] or null
  const void* type_table = nullptr;
  int64_t type_rows = 0;
};
inline constexpr int32_t kMaxNormSize = 16384;

const char* norm_refusal(const NormArgs& args, const DeviceTraits& device);
cudaError_t norm(const NormArgs& args, const DeviceTraits& device, cudaStream_t stream);

// y = softmax(scale x) over rows that lie one behind the other; float32 inside.
struct SoftmaxArgs {
  Scalar type = Scalar::kFloat16;
  int64_t rows = 0;
  int32_t size = 0;  // at most kMaxSoftmaxSize
  const void* x = nullptr;
  void* y = nullptr;  // may be x
  float scale = 1.f;
  bool log = false;  // the logarithm of it
};
inline constexpr int32_t kMaxSoftmaxSize = 1 << 20;

const char* softmax_refusal(const SoftmaxArgs& args, const DeviceTraits& device);
cudaError_t softmax(const SoftmaxArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
