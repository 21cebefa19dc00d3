// A ring of stages in shared memory through which one warp feeds weights to the others of a block, ahead of their use and without
// ever waiting for data. Both sides walk through the same stages in the same order.
#pragma once

#include "backends/cuda/kernels/device.cuh"

namespace cameo::cuda {

constexpr int kMostStages = 32;

// Bytes of a row of k 16-bit numbers in shared memory: 64 modulo 128, so that 8 lanes that read 16 bytes each of two rows meet
// all banks.
__host__ __device__ constexpr int row_stride(int k) { return 2 * k + (2 * k % 128 ? 0 : 64); }

// Bounds a wait: a mistake ends in an error, not in a hang.
struct Patience {
  long long start = 0;
  __device__ __forceinline__ void check() {
    const long long now = clock64();
    if (start == 0) start = now;
    if (now - start > 10'000'000'000ll) __trap();
  }
};

__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void barrier_fence_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
__device__ __forceinline__ bool barrier_try(uint64_t* barrier, uint32_t parity) {
  uint32_t done;
  asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
               : "=r"(done)
               : "r"(shared_address(barrier)), "r"(parity)
               : "memory");
  return done;
}
// Until the phase of this parity is over.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  if (barrier_try(barrier, parity)) return;
  Patience patience;
  while (!barrier_try(barrier, parity)) patience.check();
}

// Multiples of 16 bytes; counts them at the barrier when they are there.
__device__ __forceinline__ void copy_bulk(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}

struct Ring {
  unsigned char* data;
  uint64_t *full, *empty;
  int stages, stage_bytes;
  int slot = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++slot == stages) slot = 0, parity ^= 1;
  }
  __device__ __forceinline__ unsigned char* stage() const { return data + slot * stage_bytes; }
  __device__ __forceinline__ void wait_full() const { barrier_wait(full + slot, parity); }
  __device__ __forceinline__ void wait_empty() const { barrier_wait(empty + slot, parity ^ 1); }
  // By a whole warp that has read what it needs.
  __device__ __forceinline__ void release(int lane) {
    __syncwarp();
    if (lane == 0) barrier_arrive(empty + slot);
    advance();
  }
};

}  // namespace cameo::cuda
