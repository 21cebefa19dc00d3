// Products of float rows with weights of 4, 8 or 16 bits (packed as ops/cameo_quantized_weight.h says), 16 columns at a time.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

struct QuantizedWeight {
  const uint8_t* values;
  const void* scales;    // [panels][groups][16] of float32, or float16 where half_scales; null for 16 bits
  const uint8_t* zeros;  // [panels][groups][16], or null: 8 for 4 bits, 128 for 8 bits
  const void* offsets;   // like scales; null for weights with a zero point
  bool half_scales, bfloat16;
  int bits;               // 4, 8, 16
  int64_t depth;          // rows of the weight matrix
  int64_t group, groups;  // rows that share a scale: a multiple of 16, but for the last group
};

// Rows of 16-bit integers q = 256 * high + low that stand for scale * q. They lie in blocks of 8, 4, 2 and 1 rows (as many of
// 8 as there are): a block that starts at row r begins at values + 2 * r * depth and holds, for each 4 columns, for each of its
// rows, 4 bytes high and 4 bytes low.
struct SplitRows {
  int8_t* values;
  // [rows][groups][2]: sum of high, sum of low, over each group of rows of the weight, times `unit`; with offsets the first is
  // the float 256 * high + low.
  int32_t* sums;
  float* scales;  // [rows]
  int64_t rows;
  int64_t depth;  // a multiple of 16; zero from the weight's depth on
  int32_t unit;   // minus the zero point of the weight, -1 where it has many, 1 where it has offsets
};
inline constexpr int32_t split_unit(const QuantizedWeight& w) {
  return w.offsets != nullptr ? 1 : w.zeros != nullptr ? -1 : w.bits == 4 ? -8 : -128;
}
// Rows in the block that row r lies in.
inline constexpr int64_t split_block(int64_t r, int64_t rows) {
  const int64_t rest = rows % 8, at = r - (rows - rest);
  if (at < 0) return 8;
  if (at < (rest & 4)) return 4;
  return at < (rest & 6) ? 2 : 1;
}
inline constexpr int64_t split_block_start(int64_t r, int64_t rows) {
  const int64_t rest = rows % 8, tail = rows - rest;
  switch (split_block(r, rows)) {
    case 8:
      return r / 8 * 8;
    case 4:
      return tail;
    case 2:
      return tail + (rest & 4);
    default:
      return r;
  }
}

// y[r - first_row][c - 16 * first_panel] = sum over k of a[r][k] * W[k][c] for those rows and the columns c of those panels.
// Rows of y stand ldy floats apart and take 16 floats a panel.
struct QuantizedWeightProduct {
  QuantizedWeight w;
  const float* a;  // [rows][lda]
  int64_t lda;
  SplitRows split;              // for multiply_split: all rows of A as integers
  int64_t first_row, last_row;  // for multiply_split: whole blocks
  int64_t first_panel, last_panel;
  // Set by multiply_split itself: while step i of a panel is multiplied, what lies at ahead + i * ahead_step bytes from the panel's
  // beginning is asked for.
  int64_t ahead, ahead_step;
  float* y;
  int64_t ldy;
  float* buffer;  // for multiply_float: kDequantizedRows * 16 floats
};
inline constexpr int64_t kDequantizedRows = 256;

struct QuantizedWeightKernels {
  // Weights become float32 a few hundred rows at a time, in cache; then as any float product. Sums run over k in order.
  void (*multiply_float)(const QuantizedWeightProduct& p);
  // Activations as 16-bit integers, in two int8 halves; exact integer sums over each group of at most 65536 rows. 4 and 8 bits
  // only. Null where the instruction set has no int8 dot product; only where has_vnni().
  void (*multiply_split)(const QuantizedWeightProduct& p) = nullptr;
  // Makes the integers of one row: half a unit of max|a| / 32639 off at most. False, and nothing written, when the row has
  // NaN, infinity or only numbers so small that the scale would not be normal.
  bool (*split_row)(const float* a, int64_t depth, int64_t group, const SplitRows& to, int64_t row) = nullptr;
};
CAMEO_ISA_TABLE(QuantizedWeightKernels, quantized_weight_kernels)

}  // namespace cameo::cpu
