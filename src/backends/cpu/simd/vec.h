// One vector of floats or int32 of the instruction set that the file is compiled for (isa.h), through the compiler's
// vector extensions: Vec has + - * / and comparisons as float has. For .isa.cc files only.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cameo::cpu::CAMEO_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;  // SSE2, NEON
#endif
inline constexpr int kVectorRegisters = kLanes == 16 ? 32 : kLanes == 8 ? 16 : 16;

using Vec = float __attribute__((vector_size(kLanes * 4)));
using VecI = int32_t __attribute__((vector_size(kLanes * 4)));

#define CAMEO_INLINE static inline __attribute__((always_inline))

CAMEO_INLINE Vec splat(float x) { return x - Vec{}; }
CAMEO_INLINE VecI splat_i(int32_t x) { return x - VecI{}; }
CAMEO_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
CAMEO_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
CAMEO_INLINE VecI load_i(const int32_t* p) {
  VecI v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
CAMEO_INLINE void store_i(int32_t* p, VecI v) { __builtin_memcpy(p, &v, sizeof v); }

#if defined(__AVX2__) && !defined(__AVX512F__)
constexpr int32_t kPartMasks[2 * kLanes] = {-1, -1, -1, -1, -1, -1, -1, -1};
CAMEO_INLINE __m256i part_mask(int64_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kPartMasks + kLanes - n)); }
#endif

// The first n < kLanes elements; the rest is zero.
CAMEO_INLINE Vec load_part(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#elif defined(__AVX2__)
  return (Vec)_mm256_maskload_ps(p, part_mask(n));
#else
  Vec v = {};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
CAMEO_INLINE void store_part(float* p, Vec v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, part_mask(n), (__m256)v);
#else
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// a * b + c, fused where the processor can. The files are compiled with -ffp-contract=fast.
CAMEO_INLINE Vec fma(Vec a, Vec b, Vec c) {
  // Clang contracts within a basic block only, and a sanitizer's checks may part the operations.
#if defined(__clang__) && defined(__AVX512F__)
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__clang__) && defined(__FMA__)
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// Element by element: yes where mask is all ones, no where it is zero. Comparisons of Vec give such masks.
CAMEO_INLINE Vec select(VecI mask, Vec yes, Vec no) { return mask ? yes : no; }
// As the instruction does: the second operand where either is NaN.
CAMEO_INLINE Vec vmin(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}
CAMEO_INLINE Vec vmax(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
CAMEO_INLINE Vec as_float(VecI v) { return (Vec)v; }
CAMEO_INLINE VecI as_int(Vec v) { return (VecI)v; }
CAMEO_INLINE Vec to_float(VecI v) { return __builtin_convertvector(v, Vec); }
CAMEO_INLINE VecI truncate(Vec v) { return __builtin_convertvector(v, VecI); }
CAMEO_INLINE Vec vsqrt(Vec v) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)v);
#elif defined(__AVX2__)
  return (Vec)_mm256_sqrt_ps((__m256)v);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// Sum of the lanes, in a fixed order.
CAMEO_INLINE float sum(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}
// The largest lane; which one is open where one is NaN.
CAMEO_INLINE float max_lane(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

}  // namespace cameo::cpu::CAMEO_ISA
