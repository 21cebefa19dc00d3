// Normalisations and softmax of rows of floats.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// y = (x - mean) / sqrt(variance + epsilon) * scale + bias for rows of n elements; the moments are those of each row.
struct NormRows {
  const float* x;
  float* y;
  int64_t rows, n;
  const float* scale;  // n elements, the same for all rows
  const float* bias;   // or null
  float epsilon;
  bool centered;             // false: the mean counts as 0 (root mean square)
  float* mean = nullptr;     // where not null: that of each row,
  float* inverse = nullptr;  // and 1 / sqrt(variance + epsilon)
};

// The same where scale and bias are one number for `channel_size` elements in turn.
struct NormGroup {
  const float* x;
  float* y;
  int64_t channels, channel_size;  // of one group, which is normalised as a whole
  const float* scale;              // of channel k at scale[k * step]
  const float* bias;
  int64_t step;
  float epsilon;
};

// Softmax along an axis of `length` elements that lie `stride` apart, for `columns` neighbours.
struct SoftmaxRows {
  const float* x;
  float* y;
  int64_t length, stride, columns;
  bool logarithm;
};

struct NormKernels {
  void (*norm_rows)(const NormRows& rows);
  void (*norm_group)(const NormGroup& group);
  void (*softmax)(const SoftmaxRows& rows);  // stride 1 needs columns 1
};
CAMEO_ISA_TABLE(NormKernels, norm_kernels)

}  // namespace cameo::cpu
