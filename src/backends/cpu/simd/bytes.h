// Bytes and 16-bit words as lanes of int32, and back. For .isa.cc files only. The compilers' own conversions of vectors take these
// apart into scalars.
#pragma once

#include "backends/cpu/simd/vec.h"

namespace cameo::cpu::CAMEO_ISA {

CAMEO_INLINE VecI load_u8(const void* p) {
#if defined(__AVX512F__)
  return (VecI)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(static_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (VecI)_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
#else
  const auto* b = static_cast<const uint8_t*>(p);
  return VecI{b[0], b[1], b[2], b[3]};
#endif
}

CAMEO_INLINE VecI load_s8(const void* p) {
#if defined(__AVX512F__)
  return (VecI)_mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(static_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (VecI)_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
#else
  const auto* b = static_cast<const int8_t*>(p);
  return VecI{b[0], b[1], b[2], b[3]};
#endif
}

CAMEO_INLINE VecI load_u16(const void* p) {
#if defined(__AVX512F__)
  return (VecI)_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(static_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return (VecI)_mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
#else
  uint16_t w[kLanes];
  __builtin_memcpy(w, p, sizeof w);
  return VecI{w[0], w[1], w[2], w[3]};
#endif
}

// Stores the low byte of each lane.
CAMEO_INLINE void store_low_bytes(void* p, VecI v) {
#if defined(__AVX512F__)
  __m128i b = _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v);
  __asm__("" : "+x"(b));  // or the compiler narrows into memory, which takes a dozen cycles on AMD's processors
  _mm_storeu_si128(static_cast<__m128i*>(p), b);
#elif defined(__AVX2__)
  const __m256i low = _mm256_shuffle_epi8((__m256i)v, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                                                                       12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  _mm_storel_epi64(static_cast<__m128i*>(p), _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
#else
  for (int i = 0; i < kLanes; ++i) static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(v[i]);
#endif
}

}  // namespace cameo::cpu::CAMEO_ISA
