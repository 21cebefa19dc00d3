// What persistent kernels need of the hardware beside barriers and bulk copies: waits that end, and words that carry their own flag
// from one multiprocessor to another.
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
// A line of global memory to L2.
__device__ __forceinline__ void prefetch_line(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }
// The first `threads` threads of a block meet.
__device__ __forceinline__ void barrier_threads(int threads) { asm volatile("bar.sync 1, %0;" ::"r"(threads) : "memory"); }

// A word of 64 bits is written and read in one piece: a value below, the epoch that it belongs to above.
__device__ __forceinline__ void store_word(unsigned long long* to, uint32_t value, uint32_t epoch) {
  const unsigned long long word = (static_cast<unsigned long long>(epoch) << 32) | value;
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(word) : "memory");
}
__device__ __forceinline__ ulonglong2 load_words(const unsigned long long* from) {
  ulonglong2 w;
  asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];" : "=l"(w.x), "=l"(w.y) : "l"(from) : "memory");
  return w;
}
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace cameo::cuda
