// Sums that the blocks of a cluster send each other (Hopper and later): stores which a barrier in the receiver's shared memory
// counts by their bytes. Unlike a release at a cluster's barrier they wait for nothing in global memory.
#pragma once

#include "backends/cuda/kernels/device.cuh"

namespace cameo::cuda {

// By one thread, before its block arrives at the cluster's barrier; others send only behind that.
__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
#endif
}
// Until all bytes of the phase of that parity, 0 for the first, are there and may be read.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n@done bra ready;\nbra "
      "again;\n"
      "ready:\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#endif
}
// 16 bytes to the same place in another block.
__device__ __forceinline__ void send4(const void* to, uint64_t* barrier, int rank, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(remote_address(to, rank)),
               "f"(a), "f"(b), "f"(c), "f"(d), "r"(remote_address(barrier, rank))
               : "memory");
#endif
}
// 8 and 4 bytes.
__device__ __forceinline__ void send2(const void* to, uint64_t* barrier, int rank, float a, float b) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];" ::"r"(remote_address(to, rank)), "f"(a),
               "f"(b), "r"(remote_address(barrier, rank))
               : "memory");
#endif
}
__device__ __forceinline__ void send1(const void* to, uint64_t* barrier, int rank, float a) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::"r"(remote_address(to, rank)), "f"(a),
               "r"(remote_address(barrier, rank))
               : "memory");
#endif
}

// Arrives at the cluster's barrier without waiting for anything that this thread wrote.
__device__ __forceinline__ void cluster_arrive_relaxed() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
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
// 8 bytes that another kernel may have written while this one already ran.
__device__ __forceinline__ uint2 load_fresh8(const void* p) {
  uint2 v;
  asm volatile("ld.global.cg.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p) : "memory");
  return v;
}

}  // namespace cameo::cuda
