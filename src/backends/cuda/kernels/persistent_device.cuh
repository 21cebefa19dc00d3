// What persistent kernels need beside barriers and bulk copies: waits that end.
#pragma once

#include "backends/cuda/kernels/barrier.cuh"

namespace cameo::cuda {

// Bounds a wait: a mistake ends in an error, not in a hang.
struct Patience {
  long long start = 0;
  int turns = 0;
  __device__ __forceinline__ void check() {
    if (++turns & 1023) return;
    const long long now = clock64();
    if (start == 0) start = now;
    if (now - start > 10'000'000'000ll) __trap();
  }
};

static __device__ __noinline__ void wait_long(uint64_t* barrier, uint32_t parity) {
  Patience patience;
  while (!mbarrier_try(barrier, parity)) patience.check();
}
// Until the phase of this parity is over, or patience ends.
__device__ __forceinline__ void wait_bounded(uint64_t* barrier, uint32_t parity) {
  if (!mbarrier_try(barrier, parity)) wait_long(barrier, parity);
}

}  // namespace cameo::cuda
