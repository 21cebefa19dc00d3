// Reductions of floats.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

enum class ReduceOp : int8_t { kSum, kSumSquares, kSumMagnitudes, kMax, kMin };

struct ReduceKernels {
  // The reduction of n elements.
  float (*row)(ReduceOp op, const float* x, int64_t n);
  // Takes `rows` rows, `stride` elements apart, into y: y[j] = op(y[j], x[0][j], x[1][j], …).
  void (*columns)(ReduceOp op, const float* x, int64_t stride, int64_t rows, int64_t columns, float* y);
};
CAMEO_ISA_TABLE(ReduceKernels, reduce_kernels)

}  // namespace cameo::cpu
