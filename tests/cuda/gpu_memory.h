// How much memory of the GPU is free. Others may take and free some meanwhile, so what is missing has to be missing each time.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <thread>

#include "base/error.h"

namespace cameo::test {

inline size_t free_memory() {
  cudaDeviceSynchronize();
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return free;
}

// The least of three calls' results; they stop at zero. Zero where free memory changes although nothing is done here: then somebody
// else is at work.
inline Result<size_t> least_missing(const std::function<Result<size_t>()>& missing) {
  size_t least = SIZE_MAX;
  for (int i = 0; i < 3 && least > 0; ++i) {
    CAMEO_ASSIGN(const size_t now, missing());
    least = std::min(least, now);
  }
  const size_t before = free_memory();
  for (int i = 0; i < 20 && least > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    if (free_memory() == before) continue;
    std::printf("other processes take memory of the GPU: what is missing is not counted\n");
    least = 0;
  }
  return least;
}

}  // namespace cameo::test
