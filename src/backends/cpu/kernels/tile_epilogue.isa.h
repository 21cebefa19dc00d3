// TileEpilogue on vectors, for .isa.cc files only.
#pragma once

#include "backends/cpu/kernels/panel_gemm_f32.h"
#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {

// NaN passes through each of them.
CAMEO_INLINE Vec clamp(Vec x, Vec low, Vec high) { return vmin(high, vmax(low, x)); }
CAMEO_INLINE Vec hard_swish(Vec x) { return x * clamp(fma(x, splat(1.f / 6.f), splat(0.5f)), splat(0.f), splat(1.f)); }
CAMEO_INLINE Vec swish(Vec x) { return x * vsigmoid(x); }

// Applies the activation to n vectors.
template <int N>
CAMEO_INLINE void activate(const TileEpilogue& e, Vec (&x)[N]) {
  switch (e.activation) {
    case Activation::kNone:
      break;
    case Activation::kClamp: {
      const Vec low = splat(e.low), high = splat(e.high);
      for (int i = 0; i < N; ++i) x[i] = clamp(x[i], low, high);
      break;
    }
    case Activation::kHardSwish:
      for (int i = 0; i < N; ++i) x[i] = hard_swish(x[i]);
      break;
    case Activation::kSwish: {
      // In a loop over memory: the code is long, and an index that is not constant would keep x out of registers.
      float memory[N * kLanes];
      for (int i = 0; i < N; ++i) store(memory + i * kLanes, x[i]);
#pragma GCC unroll 1
      for (int i = 0; i < N; ++i) store(memory + i * kLanes, swish(load(memory + i * kLanes)));
      for (int i = 0; i < N; ++i) x[i] = load(memory + i * kLanes);
      break;
    }
  }
}

}  // namespace cameo::cpu::CAMEO_ISA
