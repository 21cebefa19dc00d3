// Sums that the blocks of a cluster send each other (Hopper and later): stores which a barrier in the receiver's shared memory
// counts by their bytes. Unlike a release at a cluster's barrier they wait for nothing in global memory.
#pragma once

#include "backends/cuda/kernels/barrier.cuh"

namespace cameo::cuda {

// A barrier for so many bytes, by one thread before its block arrives at the cluster's barrier; others send only behind that.
__device__ __forceinline__ void begin_exchange(uint64_t* barrier, uint32_t bytes) {
  mbarrier_init(barrier, 1);
  mbarrier_init_fence();
  mbarrier_expect(barrier, bytes);
}
// 16 bytes to the same place in another block.
__device__ __forceinline__ void send4(const void* to, uint64_t* barrier, int rank, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(remote_address(to, rank)),
               "f"(a), "f"(b), "f"(c), "f"(d), "r"(remote_address(barrier, rank))
               : "memory");
#endif
}
// 16 and 8 bytes to a place in another block, and its barrier, by what remote_address() gives for them; places behind one another have
// addresses behind one another.
__device__ __forceinline__ void send4_to(uint32_t to, uint32_t barrier, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "f"(a), "f"(b),
               "f"(c), "f"(d), "r"(barrier)
               : "memory");
#endif
}
__device__ __forceinline__ void send2_to(uint32_t to, uint32_t barrier, float a, float b) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];" ::"r"(to), "f"(a), "f"(b), "r"(barrier)
               : "memory");
#endif
}
// 8 and 4 bytes.
__device__ __forceinline__ void send2(const void* to, uint64_t* barrier, int rank, float a, float b) {
  send2_to(remote_address(to, rank), remote_address(barrier, rank), a, b);
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

// 8 bytes that another kernel may have written while this one already ran.
__device__ __forceinline__ uint2 load_fresh8(const void* p) {
  uint2 v;
  asm volatile("ld.global.cg.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p) : "memory");
  return v;
}

}  // namespace cameo::cuda
