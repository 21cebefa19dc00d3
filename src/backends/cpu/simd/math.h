// Elementary functions on vectors of floats, for .isa.cc files only. Errors, in units in the last place (ulp) of the result,
// against the exact value: exp 1, exp2 2, expm1 2, log 1, tanh 3, sigmoid 3, softplus 2, erf 7 (4e-7); sin and cos 1e-7 absolute.
// NaN, infinities, signed zeros and subnormal arguments behave as in <cmath>; results of exp that are subnormal are rounded
// like others.
//
// The polynomials and quotients are minimax fits of the relative error, found by iteratively reweighted least squares
// (Lawson's algorithm) over the ranges that are named beside them.
#pragma once

#include "backends/cpu/simd/vec.h"

namespace cameo::cpu::CAMEO_ISA {

CAMEO_INLINE Vec vabs(Vec x) { return as_float(as_int(x) & 0x7fffffff); }
CAMEO_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & splat_i(INT32_MIN)));
}
CAMEO_INLINE bool any(VecI mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_testz_si256((__m256i)mask, (__m256i)mask) == 0;
#else
  int32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= mask[i];
  return bits != 0;
#endif
}

CAMEO_INLINE Vec lane_numbers() {
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(i);
  return v;
}
// The first n < kLanes elements; the rest is `missing`.
CAMEO_INLINE Vec load_part_or(const float* p, int64_t n, Vec missing) {
  return select(lane_numbers() < splat(static_cast<float>(n)), load_part(p, n), missing);
}

// The nearest integer, ties to even, of |x| < 2^22: adding 1.5 * 2^23 leaves no bits after the point.
inline constexpr float kRoundingShift = 12582912.f;
CAMEO_INLINE Vec vfloor(Vec x) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Vec)_mm256_floor_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_floorf(x[i]);
  return x;
#endif
}
CAMEO_INLINE Vec vceil(Vec x) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Vec)_mm256_ceil_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_ceilf(x[i]);
  return x;
#endif
}

// x = n * ln 2 + r with |r| <= ln(2) / 2; gives e^r - 1.
CAMEO_INLINE Vec exp_fraction(Vec x, Vec& n) {
  const Vec shifted = fma(x, splat(1.44269504f), splat(kRoundingShift));
  n = shifted - kRoundingShift;
  Vec r = fma(n, splat(-0.693145752f), x);  // ln 2 in two parts: the first has few bits, so that the product is exact
  r = fma(n, splat(-1.42860677e-6f), r);
  Vec p = splat(0.0013814611f);  // |r| <= ln(2) / 2
  p = fma(p, r, splat(0.00836871004f));
  p = fma(p, r, splat(0.0416683874f));
  p = fma(p, r, splat(0.166665207f));
  p = fma(p, r, splat(0.499999935f));
  return fma(p * r, r, r);
}

// 2^n of an integer n in [-126, 127].
CAMEO_INLINE Vec power_of_two(VecI n) { return as_float((n + 127) << 23); }

CAMEO_INLINE Vec vexp(Vec x) {
  // Beyond these the result is zero or infinity whatever x is; NaN passes.
  x = vmin(splat(89.f), vmax(splat(-104.f), x));
  Vec n;
  const Vec y = exp_fraction(x, n) + 1.f;
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_scalef_ps(0xffff, (__m512)y, (__m512)n);
#else
  // In two factors, because 2^n alone may be no normal number.
  const VecI whole = truncate(n), half = whole >> 1;
  return y * power_of_two(half) * power_of_two(whole - half);
#endif
}

// 2^x of x up to 200: from 128 on infinity, below -150 zero; NaN passes.
CAMEO_INLINE Vec vexp2(Vec x) {
  x = vmax(splat(-160.f), x);
#if defined(__AVX512F__)
  const Vec n = (Vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Vec n = (x + kRoundingShift) - kRoundingShift;
#endif
  const Vec f = x - n;
  Vec p = splat(0.00132647271f);  // |f| <= 1/2
  p = fma(p, f, splat(0.00967151286f));
  p = fma(p, f, splat(0.0555073375f));
  p = fma(p, f, splat(0.240222421f));
  p = fma(p, f, splat(0.693146978f));
  p = fma(p, f, splat(1.f));
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n);
#else
  // In two factors, because 2^n alone may be no normal number.
  const VecI whole = truncate(n), half = whole >> 1;
  return p * power_of_two(half) * power_of_two(whole - half);
#endif
}

CAMEO_INLINE Vec vexpm1(Vec x) {
  const Vec limited = vmin(splat(89.f), vmax(splat(-20.f), x));
  Vec n;
  const Vec q = exp_fraction(limited, n);
  // 2^n * q + (2^n - 1) in two factors, because 2^n may be 2^128
  const VecI whole = truncate(n), half = whole >> 1, rest = whole - half;
  const Vec first = power_of_two(half);
  const Vec y = fma(q, first, first - power_of_two(-rest)) * power_of_two(rest);
  return select(x == 0.f, x, y);
}

CAMEO_INLINE Vec vlog(Vec x) {
  const VecI tiny = x < splat(1.17549435e-38f);
  const Vec scaled = select(tiny, x * 8388608.f, x);
  // scaled = 2^e * m with m in [sqrt(1/2), sqrt(2))
  const VecI bits = as_int(scaled) - 0x3f3504f3;
  const Vec e = to_float((bits >> 23) - (tiny & 23));
  const Vec f = as_float((bits & 0x007fffff) + 0x3f3504f3) - 1.f;
  Vec p = splat(0.0674660132f);
  p = fma(p, f, splat(-0.116756413f));
  p = fma(p, f, splat(0.118881746f));
  p = fma(p, f, splat(-0.124055914f));
  p = fma(p, f, splat(0.142195509f));
  p = fma(p, f, splat(-0.166679957f));
  p = fma(p, f, splat(0.200021187f));
  p = fma(p, f, splat(-0.250000096f));
  p = fma(p, f, splat(0.333333126f));
  const Vec square = f * f;
  Vec y = fma(p * f, square, e * 1.42860677e-6f);
  y = fma(square, splat(-0.5f), y) + f;
  y = fma(e, splat(0.693145752f), y);
  const Vec infinity = splat(__builtin_inff());
  y = select(x == infinity, infinity, y);
  y = select(x == 0.f, -infinity, y);
  return select(x >= 0.f, y, select(x < 0.f, splat(__builtin_nanf("")), x + y));
}

// (e^2|x| - 1) / (e^2|x| + 1). Beyond 9.02 floats have nothing between it and 1.
CAMEO_INLINE Vec vtanh(Vec x) {
  const Vec magnitude = vabs(x);
  Vec n;
  const Vec q = exp_fraction(vmin(splat(9.02f), magnitude) * 2.f, n);
  const Vec power = power_of_two(truncate(n));
  const Vec e = fma(q, power, power - 1.f);
  return copy_sign(e / (e + 2.f), x);
}

CAMEO_INLINE Vec vsigmoid(Vec x) { return 1.f / (1.f + vexp(-x)); }

// A quotient of polynomials in x^2, times x, up to where floats have nothing between erf and 1. There, as rounded with and
// without fused multiplication, it is exactly 1.
#if defined(__FP_FAST_FMAF)
inline constexpr float kErfEnd = 3.92f;
#else
inline constexpr float kErfEnd = 3.915f;
#endif
CAMEO_INLINE Vec verf(Vec x) {
  const Vec t = vmin(splat(kErfEnd), vmax(splat(-kErfEnd), x));
  const Vec z = t * t;
  Vec p = splat(2.05009352e-6f), q = splat(3.80917732e-5f);
  p = fma(p, z, splat(0.000284882612f));
  q = fma(q, z, splat(0.00116253219f));
  p = fma(p, z, splat(0.00376560166f));
  q = fma(q, z, splat(0.0149691864f));
  p = fma(p, z, splat(0.0527486782f));
  q = fma(q, z, splat(0.114108957f));
  p = fma(p, z, splat(0.190406078f));
  q = fma(q, z, splat(0.502075734f));
  p = fma(p, z, splat(1.12837915f));
  q = fma(q, z, splat(1.f));
  return t * p / q;
}

// Arguments beyond this are left to the C library: the reduction below would lose them.
inline constexpr float kLargestAngle = 8192.f;

// sin(x + quarter * pi / 2)
CAMEO_INLINE Vec sin_quarter(Vec x, int quarter) {
  const Vec shifted = fma(x, splat(0.636619772f), splat(kRoundingShift));
  const Vec n = shifted - kRoundingShift;
  // pi / 2 in parts of which the first two times n are exact
  Vec r = fma(n, splat(-1.5703125f), x);
  r = fma(n, splat(-0.000483751297f), r);
  r = fma(n, splat(-7.54978942e-8f), r);
  const VecI turn = as_int(shifted) + quarter;
  const Vec z = r * r;
  Vec s = splat(-0.000195172979f);  // |r| <= pi / 4
  s = fma(s, z, splat(0.00833217814f));
  s = fma(s, z, splat(-0.166666549f));
  s = fma(s * z, r, r);
  Vec c = splat(2.44331552e-5f);
  c = fma(c, z, splat(-0.00138873162f));
  c = fma(c, z, splat(0.0416666457f));
  c = fma(c * z, z, fma(z, splat(-0.5f), splat(1.f)));
  const Vec y = select((turn & 1) != 0, c, s);
  return as_float(as_int(y) ^ ((turn & 2) << 30));
}
CAMEO_INLINE Vec vsin(Vec x) {
  const VecI small = vabs(x) <= splat(kLargestAngle);
  Vec y = select(x == 0.f, x, sin_quarter(x, 0));
  if (any(~small))
    for (int i = 0; i < kLanes; ++i)
      if (!small[i]) y[i] = __builtin_sinf(x[i]);
  return y;
}
CAMEO_INLINE Vec vcos(Vec x) {
  const VecI small = vabs(x) <= splat(kLargestAngle);
  Vec y = sin_quarter(x, 1);
  if (any(~small))
    for (int i = 0; i < kLanes; ++i)
      if (!small[i]) y[i] = __builtin_cosf(x[i]);
  return y;
}

// By the C library, a lane at a time: powers that graphs have often (2, 3, 1/2, ...) are worth a case of their own.
CAMEO_INLINE Vec vpow(Vec x, Vec y) {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_powf(x[i], y[i]);
  return x;
}

// log(1 + e^x) without overflow.
CAMEO_INLINE Vec vsoftplus(Vec x) {
  // log1p(u) for u = e^-|x| in [0, 1]: what 1 + u rounds away is added again.
  const Vec u = vexp(-vabs(x)), v = u + 1.f;
  const Vec log1p = vlog(v) + (u - (v - 1.f)) / v;
  return select(x > 0.f, x, splat(0.f)) + select(x == x, log1p, x);
}

}  // namespace cameo::cpu::CAMEO_ISA
