// The language that kernels are written in: CUDA's, or with CAMEO_HIP what hipcc lacks of it for the plain kernels.
#pragma once

#ifndef CAMEO_HIP

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#else

#include <hip/hip_fp16.h>
#include <hip/hip_runtime.h>

#include <cstdint>

#include "backends/cuda/gpu_api.h"

#define __grid_constant__
// Warps of 32 lanes, also where the hardware's have 64.
#define __shfl_xor_sync(mask, value, lanes) __shfl_xor(value, lanes, 32)
#define __shfl_sync(mask, value, lane) __shfl(value, lane, 32)

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
__device__ inline float __bfloat162float(__nv_bfloat16 v) { return __uint_as_float(static_cast<uint32_t>(v.bits) << 16); }
__device__ inline __nv_bfloat16 __float2bfloat16_rn(float v) {
  const uint32_t u = __float_as_uint(v);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40)};
  return {static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16)};
}
__device__ inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__float2bfloat16_rn(a), __float2bfloat16_rn(b)}; }
__device__ inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {__bfloat162float(v.x), __bfloat162float(v.y)}; }

#endif
