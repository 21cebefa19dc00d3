// Sizes of a persistent kernel's ring of weights; see weight_ring.cuh.
#pragma once

#include <cstdint>

#include "backends/cuda/gpu_api.h"

namespace cameo::cuda {

constexpr int kMostStages = 32;

// Bytes of a row of k 16-bit numbers in shared memory: 64 modulo 128, so that 8 lanes that read 16 bytes each of two rows meet
// all banks.
__host__ __device__ constexpr int row_stride(int k) { return 2 * k + (2 * k % 128 ? 0 : 64); }

}  // namespace cameo::cuda
