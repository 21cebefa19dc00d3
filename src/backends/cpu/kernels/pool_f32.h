// Pooling of channels-last images of float32; largest elements of bytes too.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// Some output rows of one image [height, width, channels].
template <class T>
struct PoolRows {
  const T* x;  // the image
  T* y;        // the output image
  int64_t channels, in_height, in_width, out_width;
  int64_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
  int64_t first_row, last_row;  // of the output
  // Of a mean: what the taps along each axis count at every output position, for all rows and columns of the output.
  const float* row_counts;
  const float* column_counts;
};

struct PoolKernels {
  // The largest element, NaN if there is one; -infinity where a window holds none.
  void (*max)(const PoolRows<float>& p);
  // The sum divided by the product of the counts; 0 where that is 0.
  void (*mean)(const PoolRows<float>& p);
  // The largest element; the least that there is where a window holds none.
  void (*max_u8)(const PoolRows<uint8_t>& p);
  void (*max_s8)(const PoolRows<int8_t>& p);
};
CAMEO_ISA_TABLE(PoolKernels, pool_f32_kernels)

}  // namespace cameo::cpu
