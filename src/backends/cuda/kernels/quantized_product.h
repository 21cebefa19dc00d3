// Products and convolutions of 8-bit operands on Hopper's warpgroup tensor cores, with everything behind the sums in one kernel:
//
//   v = act(scale[column] * x_factor * sum(x * w) + bias[column] + residual * residual_scale)
//
// and y is v, or for bytes round(v * y_factor + y_offset), saturated, or for 8-bit floats v * y_factor. Zero points, and where all is
// linear the scale of y as well, are the caller's to put into scale and bias.
//
// A second sum over the channels of another image at the places of y, as a residual block's projection is, may be added:
//
//   v = act(scale[column] * x_factor * (ratio[column] * sum(x * w) + sum(behind * w)) + bias[column] + ...)
//
// where for bytes ratio * sum is rounded to an integer.
//
// x is [batch, height, width, channels], or for a product [m, k] with all of the kernel's extents 1. Sums are int32, or for 8-bit
// floats float32 over partial sums of 512 terms.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

enum class Element : uint8_t { kNone, kUint8, kInt8, kFloat8, kFloat16, kBFloat16, kFloat32 };
constexpr int64_t bytes_of(Element e) { return e <= Element::kFloat8 ? 1 : e == Element::kFloat32 ? 4 : 2; }

struct QuantizedProductArgs {
  Element x_type = Element::kUint8;                                           // kUint8 and kInt8 by int8 weights, or kFloat8 (E4M3) by such
  int32_t batch = 1, in_h = 1, in_w = 1, channels = 0, out_h = 1, out_w = 1;  // a product: batch = m, channels = k
  int32_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1;
  int32_t n = 0;  // columns of y
  struct Behind {
    int32_t in_h = 1, in_w = 1, channels = 0, stride_h = 1, stride_w = 1;  // no channels: there is none
    const void* x = nullptr;                                               // [batch, in_h, in_w, channels]
    const float* ratio = nullptr;                                          // as scale
  } behind;
  const void* x = nullptr;          // rows of `channels` bytes, a multiple of 16
  uint8_t padding = 0;              // the byte that stands for what lies outside
  const void* w = nullptr;          // in the order of quantized_weight_offset()
  const float* scale = nullptr;     // [n], padded with zeros to a multiple of kQuantizedColumns; so is the bias
  const float* bias = nullptr;      // or null: 0
  const float* x_factor = nullptr;  // one number, or null: 1
  Element residual_type = Element::kNone;
  const void* residual = nullptr;  // as y
  float residual_scale = 1;
  enum class Activation : uint8_t { kNone, kClamp, kGelu, kGeluTanh, kSilu } activation = Activation::kNone;
  float low = 0, high = 0;  // kClamp
  Element y_type = Element::kUint8;
  void* y = nullptr;  // [batch, out_h, out_w, n]
  float y_factor = 1, y_offset = 0;
  bool dependent = false;  // programmatic dependent launch: w is read before the kernel before is done
  int32_t variant = 0;     // 0 to kQuantizedVariants - 1: 64, 128 or 256 columns to a tile, 64 with more stages

  int64_t rows() const { return int64_t{batch} * out_h * out_w; }
  int64_t k() const { return int64_t{kernel_h} * kernel_w * channels; }
  // Rows of W; those of the second sum begin at a multiple of 128.
  int64_t first_behind() const { return (k() + 127) / 128 * 128; }
  int64_t weight_rows() const { return behind.channels ? first_behind() + behind.channels : k(); }
};

inline constexpr int kQuantizedVariants = 4;
inline constexpr int64_t kQuantizedColumns = 256;

// Bytes of a weight of n columns and k rows, and where element (row, column) lies in it: blocks of 64 columns by 128 rows, in which a
// column is 128 bytes whose pieces of 16 are permuted as shared memory wants them. A block's columns lie so that a thread's sums of a row
// are of 16 neighbours: column 16 q + 2 j + e at 8 j + 2 q + e. The padding is zero. Row tap * channels + c belongs to channel c at that
// position of the kernel.
constexpr int64_t quantized_weight_bytes(int64_t n, int64_t k) { return (n + 63) / 64 * ((k + 127) / 128) * 8192; }
constexpr int64_t quantized_weight_offset(int64_t k, int64_t row, int64_t column) {
  const int64_t block = column / 64 * ((k + 127) / 128) + row / 128, r = row % 128;
  const int64_t c = column % 16 / 2 * 8 + column % 64 / 16 * 2 + column % 2;
  return block * 8192 + c * 128 + ((r / 16) ^ (c % 8)) * 16 + r % 16;
}

const char* quantized_product_refusal(const QuantizedProductArgs& args, const DeviceTraits& device);
cudaError_t quantized_product(const QuantizedProductArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
