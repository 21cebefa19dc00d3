// float32 to float8e4m3fn in device code.
#pragma once

#include <cstdint>

namespace cameo::cuda {

// Two numbers rounded and saturated, the first in the lower byte. Zeros where the device has no such instruction.
__device__ __forceinline__ uint32_t pack_float8(float a, float b) {
  uint16_t r = 0;
#if __CUDA_ARCH__ >= 890
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(b), "f"(a));
#endif
  return r;
}

}  // namespace cameo::cuda
