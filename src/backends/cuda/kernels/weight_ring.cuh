// A ring of stages in shared memory through which one warp feeds weights to the others of a block, ahead of their use and without
// ever waiting for data. Both sides walk through the same stages in the same order.
#pragma once

#include "backends/cuda/kernels/persistent_device.cuh"
#include "backends/cuda/kernels/persistent_shape.h"

namespace cameo::cuda {

struct WeightRing {
  unsigned char* data;
  uint64_t *full, *empty;
  int stages, stage_bytes;
  int slot = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++slot == stages) slot = 0, parity ^= 1;
  }
  __device__ __forceinline__ unsigned char* stage() const { return data + slot * stage_bytes; }
  __device__ __forceinline__ void wait_full() const { wait_bounded(full + slot, parity); }
  __device__ __forceinline__ void wait_empty() const { wait_bounded(empty + slot, parity ^ 1); }
  // By a whole warp that has read what it needs.
  __device__ __forceinline__ void release(int lane) {
    __syncwarp();
    if (lane == 0) mbarrier_arrive(empty + slot);
    advance();
  }
};

}  // namespace cameo::cuda
