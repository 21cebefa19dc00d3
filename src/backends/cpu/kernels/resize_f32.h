// Weighted sums of rows and of elements, for interpolation of float32 images.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// to[j] = sum over t < taps of weights[t] * from[indices[t] * count + j], for j < count. Rows of weight 0 are not read, but
// the first always is.
struct WeightedRows {
  const float* from;
  const int64_t* indices;
  const float* weights;
  int64_t taps, count;
  float* to;
};

// Vectors of output positions along a row, prepared once for many rows: kLanes positions from `block` * kLanes on read the
// elements bases[block * taps + t] + offsets[(block * taps + t) * kLanes + lane].
struct RowPlan {
  int64_t out, in, taps, blocks;
  const int32_t* bases;
  const int32_t* offsets;  // less than kLanes
  const float* weights;    // as offsets
};

struct ResizeKernels {
  int lanes;
  void (*sum_rows)(const WeightedRows& r);
  // Output positions of one row; from has plan.in elements.
  void (*sum_elements)(const RowPlan& plan, const float* from, float* to);
};
CAMEO_ISA_TABLE(ResizeKernels, resize_f32_kernels)

}  // namespace cameo::cpu
