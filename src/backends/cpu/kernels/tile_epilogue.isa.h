// TileEpilogue on vectors, for .isa.cc files only.
#pragma once

#include "backends/cpu/kernels/panel_gemm_f32.h"
#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {

// NaN passes through each of them.
CAMEO_INLINE Vec clamp(Vec x, Vec low, Vec high) { return vmin(high, vmax(low, x)); }
CAMEO_INLINE Vec hard_swish(Vec x) { return x * clamp(fma(x, splat(1.f / 6.f), splat(0.5f)), splat(0.f), splat(1.f)); }
// x / (1 + e^-x)
CAMEO_INLINE Vec swish(Vec x) {
#if defined(__AVX512F__)
  // e^-x as 2^n 2^f with |f| <= 1/2, the second by a minimax polynomial. Its relative error grows with |x| to 1e-5 at -88,
  // where the result is near zero.
  const Vec t = vmax(splat(-126.f), x * -1.44269504f);
  const Vec n = (Vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = t - n;
  Vec p = splat(0.00132764818f);
  p = fma(p, f, splat(0.00967554562f));
  p = fma(p, f, splat(0.0555071346f));
  p = fma(p, f, splat(0.240221202f));
  p = fma(p, f, splat(0.693146944f));
  p = fma(p, f, splat(1.f));
  return x / (1.f + (Vec)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n));
#else
  return x * vsigmoid(x);
#endif
}

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
      if constexpr (N == 1) {
        x[0] = swish(x[0]);
        break;
      }
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
