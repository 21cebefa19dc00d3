// y = act(x W^T + bias) + addend in 16 bits by tiles, for products and convolutions that are too small to fill the device by
// their output alone: the sum over k is divided among the blocks of a cluster, and weights are fetched before the kernel before
// is done.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

enum class TileActivation : uint8_t { kNone, kRelu, kGelu, kGeluTanh, kSilu, kHardSwish };

// Rows of x as a convolution takes them from an image with the channels last: row ((b * out_height) + i) * out_width + j, column
// (r * kernel_width + s) * channels + c is element (b, i * stride_h - pad_top + r * dilation_h, j * stride_w - pad_left +
// s * dilation_w, c), or 0 outside.
struct TileWindow {
  int32_t height = 0, width = 0, channels = 0;  // of the image; channels a multiple of 8
  int32_t out_height = 0, out_width = 0;
  int32_t kernel_height = 1, kernel_width = 1;
  int32_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int32_t pad_top = 0, pad_left = 0;
};

// Further columns of x behind a window's, of another image that is sampled where the window's outputs are: row as above, column c
// is element (b, i * stride_h, j * stride_w, c). A convolution and the 1x1 convolution that is added to it are one sum so.
struct TileBehind {
  const void* x = nullptr;
  int32_t height = 0, width = 0, channels = 0;  // none: there is no such image
  int32_t stride_h = 1, stride_w = 1;
};

struct TileGemmArgs {
  Scalar type = Scalar::kFloat16;  // of everything: 16 bits
  int32_t m = 0, n = 0, k = 0;     // n and k multiples of 8
  const void* x = nullptr;         // [m, k], or an image
  const void* w = nullptr;         // [n, k], rows along k
  const void* bias = nullptr;      // [n] or null
  const void* addend = nullptr;    // [m, n] or null
  void* y = nullptr;               // [m, n]
  TileActivation activation = TileActivation::kNone;
  bool addend_first = false;  // the addend goes in before the activation
  bool convolution = false;
  TileWindow window;
  TileBehind behind;       // of a convolution; then the window's columns are a multiple of 64
  bool dependent = false;  // programmatic dependent launch: w is read before the kernel before is done
};

// A way to do it: a number below kTileChoices, the same in every build.
constexpr int kTileChoices = 44;
const char* tile_gemm_refusal(const TileGemmArgs& args, int choice, const DeviceTraits& device);
cudaError_t tile_gemm(const TileGemmArgs& args, int choice, const DeviceTraits& device, cudaStream_t stream);
// Whether it may be the fastest choice; the others need not be measured.
bool tile_gemm_promising(const TileGemmArgs& args, int choice, const DeviceTraits& device);

}  // namespace cameo::cuda
