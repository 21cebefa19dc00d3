// What persistent kernels need of the hardware: barriers that count bytes, bulk copies to shared memory, and words that carry
// their own flag from one multiprocessor to another.
#pragma once

#include "backends/cuda/kernels/device.cuh"

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

__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t arrivals) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}
__device__ __forceinline__ void barrier_fence_init() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#endif
}
__device__ __forceinline__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
#endif
}
__device__ __forceinline__ bool barrier_try(uint64_t* barrier, uint32_t parity) {
  uint32_t done = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
               : "=r"(done)
               : "r"(shared_address(barrier)), "r"(parity)
               : "memory");
#else
  __trap();
#endif
  return done;
}
static __device__ __noinline__ void barrier_wait_long(uint64_t* barrier, uint32_t parity) {
  Patience patience;
  while (!barrier_try(barrier, parity)) patience.check();
}
// Until the phase of this parity is over.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  if (!barrier_try(barrier, parity)) barrier_wait_long(barrier, parity);
}
// Multiples of 16 bytes; counts them at the barrier when they are there.
__device__ __forceinline__ void copy_bulk(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
#endif
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
