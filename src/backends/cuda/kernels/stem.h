// The first layers of many image networks in one kernel: a 7x7 convolution with stride 2 of an image with few channels, bias, Relu, and
// a 3x3 max pool with stride 2. What lies between them stays on the multiprocessor.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

struct StemArgs {
  Scalar type = Scalar::kFloat16;            // of w, bias and y: 16 bits
  Scalar image_type = Scalar::kFloat32;      // of x
  int32_t batch = 0, height = 0, width = 0;  // of the image
  int32_t channels = 0;                      // 1 to 4
  bool channels_first = true;                // x is [batch, channels, height, width], else [batch, height, width, channels]
  int32_t pad_top = 0, pad_left = 0;         // of the convolution
  int32_t conv_height = 0, conv_width = 0;   // its extents
  int32_t pool_pad_top = 0, pool_pad_left = 0;
  int32_t out_height = 0, out_width = 0;
  int32_t outputs = 0;  // channels of y, a multiple of 64
  const void* x = nullptr;
  const void* w = nullptr;     // [outputs, 7, 8, 4], zeros at the eighth column and where there is no channel
  const void* bias = nullptr;  // [outputs] or null
  void* y = nullptr;           // [batch, out_height, out_width, outputs]
  bool without_wgmma = false;  // for tests: as before Hopper
  bool dependent = false;      // programmatic dependent launch: w is read before the kernel before is done
};

// How at most `most_blocks` blocks of 64 outputs share the results: in strips, parts of an image's width, and of them as many rows a block.
// Four rows of an image for a strip are then four pixels for each of 128 threads.
inline constexpr int kStemColumns = 30;
struct StemStrips {
  int columns = 0, strips = 0;  // of a strip, at most kStemColumns; of an image
  int64_t rows = 0;
  unsigned blocks = 0;
};
StemStrips stem_strips(const StemArgs& args, int most_blocks);

const char* stem_refusal(const StemArgs& args, const DeviceTraits& device);
cudaError_t stem(const StemArgs& args, const DeviceTraits& device, cudaStream_t stream);

// The same in 8 bits, of a float32 image that becomes q = nearest(x * x_factor) + x_zero in [0, 255]:
//
//   y = max over the pool's window of nearest(clamp(scale[c] * sum(q * w) + bias[c]))
//
// where q is x_zero outside of the image. y has the bits of uint8 or int8, which low and high lie within.
struct StemBytesArgs {
  StemArgs stem;  // without types and bias; w is int8, y bytes
  float x_factor = 1;
  int32_t x_zero = 0;
  const float* scale = nullptr;  // [outputs]
  const float* bias = nullptr;   // [outputs]
  float low = 0, high = 255;     // whole numbers
};

const char* stem_bytes_refusal(const StemBytesArgs& args, const DeviceTraits& device);
cudaError_t stem_bytes(const StemBytesArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
