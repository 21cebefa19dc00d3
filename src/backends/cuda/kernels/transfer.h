// Copies between page-locked memory of the host and memory of the device by a kernel: a few small values are there sooner than through
// the copy engines, which take turns with the kernels before and behind them.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

struct TransferArgs {
  static constexpr int kMost = 8;
  int32_t count = 0;
  uint32_t bytes[kMost] = {};
  const void* from[kMost] = {};
  void* to[kMost] = {};
  // False where there is no room for another one.
  bool add(void* target, const void* source, size_t size) {
    if (count == kMost || size > UINT32_MAX) return false;
    from[count] = source;
    to[count] = target;
    bytes[count++] = static_cast<uint32_t>(size);
    return true;
  }
};

// Each value by a row of blocks; neighbours do not overlap.
cudaError_t transfer(const TransferArgs& args, cudaStream_t stream);

}  // namespace cameo::cuda
