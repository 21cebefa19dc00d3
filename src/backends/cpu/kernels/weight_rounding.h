// Rounds float weights to integer codes with a scale for each column, 16 columns at a time.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// One group of rows of 16 columns: code = clamp(round(w / scale) + zero), and w is about (code - zero) * scale.
struct WeightRounding {
  const float* weights;  // [rows][16]
  int64_t rows;
  int bits;        // 4: codes 0 to 15, zero 8; 8: codes 1 to 255, zero 128
  uint8_t* codes;  // [rows][16]
  float* scales;   // [16]
};

struct WeightRoundingKernels {
  // Writes scales. 4 bits: of a dozen ranges, the one whose codes, with the scale that fits them best (least squares), leave the
  // least squared error; a scale may be negative, so that the largest weight takes the code that is farther from zero. 8 bits:
  // the largest weight over 127.
  void (*choose_scales)(const WeightRounding& r);
  // Writes codes for the scales given.
  void (*round)(const WeightRounding& r);
};
CAMEO_ISA_TABLE(WeightRoundingKernels, weight_rounding_kernels)

}  // namespace cameo::cpu
