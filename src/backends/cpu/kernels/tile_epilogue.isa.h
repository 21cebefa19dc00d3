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
  // where the result is near zero. The quotient is an estimate of 14 bits and a step of Newton's method.
  const Vec t = vmax(splat(-126.f), x * -1.44269504f);
  const Vec n = (Vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = t - n;
  Vec p = splat(0.00132764818f);
  p = fma(p, f, splat(0.00967554562f));
  p = fma(p, f, splat(0.0555071346f));
  p = fma(p, f, splat(0.240221202f));
  p = fma(p, f, splat(0.693146944f));
  p = fma(p, f, splat(1.f));
  const Vec d = 1.f + (Vec)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n);
  const Vec r = (Vec)_mm512_maskz_rcp14_ps(0xffff, (__m512)d);
  // Where e^-x is too large the factor is 0, which the step would not find.
  const __mmask16 usual = _mm512_cmp_ps_mask((__m512)t, (__m512)splat(127.f), _CMP_LT_OQ);
  return x * (Vec)_mm512_maskz_fmadd_ps(usual, (__m512)fma(-d, r, splat(1.f)), (__m512)r, (__m512)r);
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
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) x[i] = swish(x[i]);
      break;
    }
  }
}

}  // namespace cameo::cpu::CAMEO_ISA
