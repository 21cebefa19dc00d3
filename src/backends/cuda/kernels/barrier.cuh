// Barriers in shared memory that count arrivals and bytes (PTX's mbarrier) and bulk copies that count at them, for Hopper and later;
// groups of asynchronous copies, for Ampere and later. What is compiled for other devices does nothing; refusals keep it from being
// launched there.
#pragma once

#include "backends/cuda/kernels/device.cuh"

namespace cameo::cuda {

// A place in the block's shared memory, by its 32-bit address or a pointer.
struct SharedPlace {
  uint32_t address;
  __device__ __forceinline__ SharedPlace(uint32_t address) : address(address) {}
  __device__ __forceinline__ SharedPlace(const void* p) : address(shared_address(p)) {}
};

// By one thread. A phase ends with so many arrivals, and all bytes that they expect.
__device__ __forceinline__ void mbarrier_init(SharedPlace barrier, uint32_t arrivals) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier.address), "r"(arrivals) : "memory");
#endif
}
// Behind the last mbarrier_init(): copies and other blocks of the cluster see the barriers.
__device__ __forceinline__ void mbarrier_init_fence() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
// Scope of the block: with .cluster it would wait for the thread's writes to global memory.
__device__ __forceinline__ void mbarrier_arrive(SharedPlace barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier.address) : "memory");
#endif
}
// Arrives, and the phase ends no sooner than so many bytes have come.
__device__ __forceinline__ void mbarrier_expect(SharedPlace barrier, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier.address), "r"(bytes) : "memory");
#endif
}
// Whether the phase of this parity, 0 for the first, is over; waits a short while for it.
__device__ __forceinline__ bool mbarrier_try(SharedPlace barrier, uint32_t parity) {
  uint32_t done = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
               : "=r"(done)
               : "r"(barrier.address), "r"(parity)
               : "memory");
#else
  __trap();
#endif
  return done;
}
// Until the phase of this parity is over. What copies brought, and this block's threads wrote before they arrived, may be read then.
__device__ __forceinline__ void mbarrier_wait(SharedPlace barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra ready;\nbra again;\nready:\n}" ::"r"(
          barrier.address),
      "r"(parity)
      : "memory");
#endif
}
// The same for what other blocks of the cluster sent.
__device__ __forceinline__ void mbarrier_wait_cluster(SharedPlace barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1;\n@p bra ready;\nbra again;\n"
      "ready:\n}" ::"r"(barrier.address),
      "r"(parity)
      : "memory");
#endif
}

// Bytes, a multiple of 16, to shared memory; they count at the barrier when they are there.
__device__ __forceinline__ void copy_bulk(SharedPlace to, const void* global, uint32_t bytes, SharedPlace barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to.address), "l"(global),
               "r"(bytes), "r"(barrier.address)
               : "memory");
#endif
}
// Bytes, a multiple of 16, to L2.
__device__ __forceinline__ void prefetch_bulk(const void* global, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(global), "r"(bytes) : "memory");
#endif
}
// By a thread of each block: all of it, shared out among the blocks.
__device__ __forceinline__ void prefetch_share(const void* global, int64_t bytes, int block, int blocks) {
  const int64_t share = (bytes / 16 + blocks - 1) / blocks * 16, first = block * share, count = min(share, bytes - first);
  for (int64_t at = 0; at < count; at += 16384)
    prefetch_bulk(static_cast<const unsigned char*>(global) + first + at, static_cast<uint32_t>(min(count - at, int64_t{16384})));
}
// Copies since the last commit become a group; all groups but the last LEFT are waited for.
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int LEFT>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}
// What ordinary and asynchronous copies wrote to shared memory becomes visible to wgmma, after the next barrier.
__device__ __forceinline__ void fence_for_wgmma() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

}  // namespace cameo::cuda
