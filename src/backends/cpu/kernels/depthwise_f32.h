// Depthwise convolution of channels-last float32 images, and convolution with groups of a few channels.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/panel_gemm_f32.h"
#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

// Some output rows of one image, for some channels: pointers and `channels` are of these channels.
struct DepthwiseRows {
  const float* x;  // the image, from pixel (0, 0) on
  const float* w;  // [kernel_height * kernel_width][group_channels][weight_step], by output channel
  float* y;        // the output image, from pixel (0, 0) on
  int64_t channels;
  int64_t pixel_step;          // floats from one pixel to the next, of x and y
  int64_t weight_step;         // 16 times a number; padded with zeros
  int64_t group_channels = 1;  // inputs and outputs of a group
  int64_t in_height, in_width, out_width;
  int64_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
  int64_t first_row, last_row;  // of the output
  TileEpilogue epilogue;        // with bias and residual from the first channel of y's pixel (0, 0) on
};

struct DepthwiseKernels {
  void (*run)(const DepthwiseRows& d);
};
// Groups of 2, 4, 8 or 16 channels, which the channels start and end with.
struct GroupedKernels {
  void (*run)(const DepthwiseRows& d);
};
CAMEO_ISA_TABLE(DepthwiseKernels, depthwise_f32_kernels)
CAMEO_ISA_TABLE(GroupedKernels, grouped_f32_kernels)

}  // namespace cameo::cpu
