// How much memory of the GPU is free, for tests that run alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace cameo::test {

inline size_t free_memory() {
  cudaDeviceSynchronize();
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return free;
}

}  // namespace cameo::test
