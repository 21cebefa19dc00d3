// Pooling of channels-last float32 images.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// Some output rows of one image [height, width, channels].
struct PoolRows {
  const float* x;  // the image
  float* y;        // the output image
  int64_t channels, in_height, in_width, out_width;
  int64_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
  int64_t first_row, last_row;  // of the output
  // Of a mean: what the taps along each axis count at every output position, for all rows and columns of the output.
  const float* row_counts;
  const float* column_counts;
};

struct PoolKernels {
  // The largest element, NaN if there is one; -infinity where a window holds none.
  void (*max)(const PoolRows& p);
  // The sum divided by the product of the counts; 0 where that is 0.
  void (*mean)(const PoolRows& p);
};
CAMEO_ISA_TABLE(PoolKernels, pool_f32_kernels)

}  // namespace cameo::cpu
