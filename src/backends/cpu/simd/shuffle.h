// Exchanges of elements between vectors, for .isa.cc files only.
#pragma once

#include "backends/cpu/simd/vec.h"

namespace cameo::cpu::CAMEO_ISA {

// a and b taken in turns: of their lower halves {a0, b0, a1, b1, …}, of their upper halves.
#if defined(__AVX512F__)
CAMEO_INLINE Vec zip_low(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
CAMEO_INLINE Vec zip_high(Vec a, Vec b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif defined(__AVX2__)
CAMEO_INLINE Vec zip_low(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
CAMEO_INLINE Vec zip_high(Vec a, Vec b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
CAMEO_INLINE Vec zip_low(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
CAMEO_INLINE Vec zip_high(Vec a, Vec b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
#endif

// rows[i][j] becomes rows[j][i]: each round sends bit by bit of the row's number to the lane's.
CAMEO_INLINE void transpose(Vec (&rows)[kLanes]) {
  for (int round = 1; round < kLanes; round *= 2) {
    Vec next[kLanes];
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = zip_low(rows[i], rows[i + kLanes / 2]);
      next[2 * i + 1] = zip_high(rows[i], rows[i + kLanes / 2]);
    }
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

// Lane i is the sum of the lanes of v[i].
CAMEO_INLINE Vec lane_sums(Vec (&v)[kLanes]) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) v[i] = zip_low(v[i], v[i + half]) + zip_high(v[i], v[i + half]);
  return v[0];
}

}  // namespace cameo::cpu::CAMEO_ISA
