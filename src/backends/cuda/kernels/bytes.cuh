// Numbers as bytes in device code.
#pragma once

#include <cstdint>

namespace cameo::cuda {

// Four integers saturated to bytes, the first in the lowest one.
template <bool SIGNED>
__device__ __forceinline__ uint32_t pack_bytes(int a, int b, int c, int d) {
  uint32_t r = 0;
#if __CUDA_ARCH__ >= 720
  if constexpr (SIGNED)
    asm("{\n.reg .b32 t;\ncvt.pack.sat.s8.s32.b32 t, %4, %3, 0;\ncvt.pack.sat.s8.s32.b32 %0, %2, %1, t;\n}"
        : "=r"(r)
        : "r"(a), "r"(b), "r"(c), "r"(d));
  else
    asm("{\n.reg .b32 t;\ncvt.pack.sat.u8.s32.b32 t, %4, %3, 0;\ncvt.pack.sat.u8.s32.b32 %0, %2, %1, t;\n}"
        : "=r"(r)
        : "r"(a), "r"(b), "r"(c), "r"(d));
#endif
  return r;
}
// The same of numbers rounded to the nearest.
template <bool SIGNED>
__device__ __forceinline__ uint32_t round_bytes(float a, float b, float c, float d) {
  return pack_bytes<SIGNED>(__float2int_rn(a), __float2int_rn(b), __float2int_rn(c), __float2int_rn(d));
}

}  // namespace cameo::cuda
