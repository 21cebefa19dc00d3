// Products of uint8 activations with int8 weights in int32, and the way from int32 back to floats or bytes.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// c[r][j] = start[j] + sum over taps and depth of a * b, for rows r and the columns of some panels of 16. Element k of row r at
// tap t is rows[t * row_pitch + r][k]: a matrix has one tap, a convolution one for each position of its kernel. The depth is a
// multiple of 4. B is packed [panels][taps * depth / 4][16][4].
struct QuantizedGemm {
  const uint8_t* const* rows;
  int64_t row_pitch, taps, depth;
  const int8_t* b;
  const int32_t* start;  // [panels * 16]
  int32_t* c;            // of the first panel given
  int64_t ldc;
};

enum class ByteType : int8_t { kNone, kUint8, kInt8, kFloat };

// v = acc * scales + bias + residual * residual_scale, cut to [low, high]; y is v as float, or nearest(v) + zero as a byte, which the
// bounds must let fit. NaN becomes low. Rows of `count` elements; strides count elements.
struct QuantizedFinish {
  const int32_t* acc;
  const float *scales, *bias;
  const void* residual;
  ByteType residual_type;
  float residual_scale;
  float low, high;
  void* y;
  ByteType y_type;
  int32_t zero;
  int64_t count, rows;
  int64_t acc_stride, residual_stride, y_stride;
};

// Bytes to floats, (x - zero) * scale, and back: nearest(x / scale) + zero, saturated; NaN becomes the lowest code.
// (A division, as ONNX has it: a product with the inverse goes the other way at some halves.)
struct ByteRow {
  void* bytes;
  ByteType type;  // kUint8 or kInt8
  float* floats;
  float scale, zero;
  int64_t count;
  const float* scales = nullptr;  // in place of `scale`, one an element; only to bytes
};

struct QuantizedGemmKernels {
  void (*multiply)(const QuantizedGemm& gemm, int64_t rows, int64_t first_panel, int64_t last_panel);
  // The same where quantized_vnni(); null where the instruction set cannot have it.
  void (*multiply_vnni)(const QuantizedGemm& gemm, int64_t rows, int64_t first_panel, int64_t last_panel);
  void (*finish)(const QuantizedFinish& f);
  void (*to_bytes)(const ByteRow& row);
  void (*to_floats)(const ByteRow& row);
  // acc[j] = start[j] + sum over taps of rows[t][j] * weights[t * count + j].
  void (*depthwise)(const uint8_t* const* rows, int64_t taps, const int8_t* weights, const int32_t* start, int64_t count, int32_t* acc);
};
CAMEO_ISA_TABLE(QuantizedGemmKernels, quantized_gemm_kernels)

// Whether the processor has int8 dot products of the instruction set's length: AVX-512 VNNI, or AVX-VNNI for AVX2.
bool quantized_vnni(Isa isa);

}  // namespace cameo::cpu
