// Hopper's asynchronous products of a warpgroup (wgmma) over tiles in shared memory whose rows are 128 bytes, with the pieces of
// 16 bytes of row r at place (piece ^ (r & 7)): the 128-byte swizzle. Tiles begin at multiples of 1024 bytes.
#pragma once

#include "backends/cuda/kernels/barrier.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CAMEO_WGMMA 1
#else
#define CAMEO_WGMMA 0
#endif
// The launch bounds of kernels that need it: where they were compiled without it, too few for a block.
#define CAMEO_WGMMA_THREADS(count) (CAMEO_WGMMA ? (count) : 32)

namespace cameo::cuda {

// Whether the kernel's code for this device has the instruction: it was compiled for compute capability 9.0a.
template <typename... Params>
bool has_wgmma(void (*kernel)(Params...)) {
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess) return attributes.maxThreadsPerBlock > 32;
  cudaGetLastError();
  return false;
}

// What the instruction knows of a tile: its address, 1024 bytes from 8 rows to the next 8, the swizzle.
__device__ __forceinline__ uint64_t wgmma_tile(uint32_t shared) {
  return (uint64_t{1} << 62) | (uint64_t{1024 >> 4} << 32) | (uint64_t{1} << 16) | ((shared & 0x3ffff) >> 4);
}

__device__ __forceinline__ void wgmma_begin() {
#if CAMEO_WGMMA
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void wgmma_commit() {
#if CAMEO_WGMMA
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int LEFT>
__device__ __forceinline__ void wgmma_wait() {
#if CAMEO_WGMMA
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
#endif
}

// d[64 x 32] = (add ? d : 0) + a[64 x 16] b[32 x 16]^T; as wgmma64.
template <typename T>
__device__ __forceinline__ void wgmma32(float (&d)[4][4], uint64_t a, uint64_t b, bool add) {
#if CAMEO_WGMMA
#define CAMEO_WGMMA_OUT32 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}"
#define CAMEO_WGMMA_REGISTERS32(d)                                                                                                       \
  "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), \
      "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3])
  if constexpr (__is_same(T, __half))
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\nwgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 " CAMEO_WGMMA_OUT32
                 ", %16, %17, p, 1, 1, 0, 0;\n}"
                 : CAMEO_WGMMA_REGISTERS32(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
  else
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\nwgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 " CAMEO_WGMMA_OUT32
                 ", %16, %17, p, 1, 1, 0, 0;\n}"
                 : CAMEO_WGMMA_REGISTERS32(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
#else
  __trap();
#endif
}

#define CAMEO_WGMMA_OUT64                                                                                                \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, " \
  "%25, %26, %27, %28, %29, %30, %31}"
#define CAMEO_WGMMA_REGISTERS64(d)                                                                                                       \
  "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), \
      "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]),            \
      "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]),            \
      "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3])
#define CAMEO_WGMMA_OUT128                                                                                                   \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, "     \
  "%25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, " \
  "%49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define CAMEO_WGMMA_REGISTERS128(d)                                                                                                      \
  "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), \
      "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]),            \
      "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]),            \
      "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]),            \
      "+f"(d[8][1]), "+f"(d[8][2]), "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]),           \
      "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]), "+f"(d[12][0]),    \
      "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]), "+f"(d[14][0]),    \
      "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]), "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])

// d[64 x 64] = (add ? d : 0) + a[64 x 16] b[64 x 16]^T; both rows along k. d is laid out as mma.m16n8k16 has it, 16 rows a warp.
template <typename T>
__device__ __forceinline__ void wgmma64(float (&d)[8][4], uint64_t a, uint64_t b, bool add) {
#if CAMEO_WGMMA
  if constexpr (__is_same(T, __half))
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " CAMEO_WGMMA_OUT64
                 ", %32, %33, p, 1, 1, 0, 0;\n}"
                 : CAMEO_WGMMA_REGISTERS64(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
  else
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " CAMEO_WGMMA_OUT64
                 ", %32, %33, p, 1, 1, 0, 0;\n}"
                 : CAMEO_WGMMA_REGISTERS64(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
#else
  __trap();
#endif
}
// The same with 128 columns: d[64 x 128] = (add ? d : 0) + a[64 x 16] b[128 x 16]^T.
template <typename T>
__device__ __forceinline__ void wgmma128(float (&d)[16][4], uint64_t a, uint64_t b, bool add) {
#if CAMEO_WGMMA
  if constexpr (__is_same(T, __half))
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 " CAMEO_WGMMA_OUT128
                 ", %64, %65, p, 1, 1, 0, 0;\n}"
                 : CAMEO_WGMMA_REGISTERS128(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
  else
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " CAMEO_WGMMA_OUT128
                 ", %64, %65, p, 1, 1, 0, 0;\n}"
                 : CAMEO_WGMMA_REGISTERS128(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
#else
  __trap();
#endif
}
// d[64 x 64] += a[64 x 16] b[16 x 64]; a in registers as mma.m16n8k16 has it, b with its rows along n.
template <typename T>
__device__ __forceinline__ void wgmma64_turned(float (&d)[8][4], const uint32_t (&a)[4], uint64_t b) {
#if CAMEO_WGMMA
  if constexpr (__is_same(T, __half))
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " CAMEO_WGMMA_OUT64 ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
                 : CAMEO_WGMMA_REGISTERS64(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  else
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " CAMEO_WGMMA_OUT64 ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
                 : CAMEO_WGMMA_REGISTERS64(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#else
  __trap();
#endif
}

}  // namespace cameo::cuda
