#include "backends/cuda/kernels/wide_product.h"

#include "backends/cuda/kernels/turns_product.h"
#include "backends/cuda/kernels/wide_product.cuh"
#include "backends/cuda/kernels/wide_variants.h"

namespace cameo::cuda {
namespace {

// The convolution as the ring knows it, with channels in bytes.
QuantizedProductArgs windows_of(const TileGemmArgs& a) {
  const TileWindow& v = a.window;
  QuantizedProductArgs q;
  q.x = a.x;
  q.batch = a.m / (v.out_height * v.out_width);
  q.in_h = v.height, q.in_w = v.width, q.channels = 2 * v.channels;
  q.out_h = v.out_height, q.out_w = v.out_width;
  q.kernel_h = v.kernel_height, q.kernel_w = v.kernel_width;
  q.stride_h = v.stride_h, q.stride_w = v.stride_w;
  q.pad_h = v.pad_top, q.pad_w = v.pad_left;
  q.dilation_h = v.dilation_h, q.dilation_w = v.dilation_w;
  return q;
}
// The image behind as windows of one pixel.
QuantizedProductArgs pixels_behind(const TileGemmArgs& a) {
  const TileBehind& v = a.behind;
  QuantizedProductArgs q;
  q.x = v.x;
  q.batch = a.m / (a.window.out_height * a.window.out_width);
  q.in_h = v.height, q.in_w = v.width, q.channels = 2 * v.channels;
  q.out_h = a.window.out_height, q.out_w = a.window.out_width;
  q.stride_h = v.stride_h, q.stride_w = v.stride_w;
  return q;
}
// Whether rows of the image are rows of the result.
bool plain_rows(const QuantizedProductArgs& q) {
  return q.kernel_h == 1 && q.kernel_w == 1 && q.stride_h == 1 && q.stride_w == 1 && q.pad_h == 0 && q.pad_w == 0 && q.in_h == q.out_h &&
         q.in_w == q.out_w;
}
bool wide_windows_fit(const TileGemmArgs& a) {
  const QuantizedProductArgs first = windows_of(a), second = pixels_behind(a);
  return (plain_rows(first) || windows_fit(first)) && (plain_rows(second) || windows_fit(second));
}

// How the engine sees the image; false where it has not such windows.
bool describe(CUtensorMap& map, bool& windows, const QuantizedProductArgs& q) {
  windows = !plain_rows(q);
  return windows ? describe_windows(map, q) : describe_rows(map, q.x, q.rows(), q.channels);
}

// The product as turns_product.h knows it.
TurnsArgs turns_of(const TileGemmArgs& a) {
  TurnsArgs t;
  t.x_type = t.y_type = a.type == Scalar::kFloat16 ? Element::kFloat16 : Element::kBFloat16;
  t.m = a.m, t.n = a.n, t.k = a.k;
  t.x = a.x, t.w = a.w, t.bias = a.bias, t.y = a.y;
  if (a.activation == TileActivation::kGelu) t.activation = QuantizedProductArgs::Activation::kGelu;
  t.dependent = a.dependent;
  return t;
}

}  // namespace

const char* wide_product_refusal(const TileGemmArgs& a, int variant, const DeviceTraits& device) {
  if (variant >= kWideVariants) return "there is no such variant";
  if (device.capability != 90) return "needs compute capability 9.0";
  static const bool there = wide_product_has_wgmma();
  if (!there) return "the kernel was compiled without wgmma";
  if (device.shared_memory < 226 * 1024) return "there is too little shared memory";
  if (a.type == Scalar::kFloat32) return "elements have 32 bits";
  if (a.addend && !a.addend_first && a.activation != TileActivation::kNone) return "the addend comes after the activation";
  if (a.m < 1 || a.n < 1 || a.k < 1) return "an extent is less than 1";
  if (variant == kWideTurns) {
    if (a.convolution || a.addend) return "it is a convolution, or has an addend";
    if (a.activation != TileActivation::kNone && a.activation != TileActivation::kGelu) return "another activation";
    return turns_product_refusal(turns_of(a), device);
  }
  if (a.n % 8 || a.k % 8) return "n or k is not a multiple of 8";
  constexpr int64_t kMost = int64_t{1} << 30;
  if (a.m > kMost - 256 || a.n > kMost - 256 || a.k >= kMost / 2) return "it is too large";
  if ((int64_t{a.m} + 127) / 128 * ((a.n + 63) / 64) >= kMost) return "it is too large";
  if (a.convolution) {
    const TileWindow& w = a.window;
    if (w.channels % 8) return "channels are not a multiple of 8";
    const int64_t columns = int64_t{w.kernel_height} * w.kernel_width * w.channels;
    if (columns + a.behind.channels != a.k) return "k is not the size of the window";
    const int64_t images = a.m / (int64_t{w.out_height} * w.out_width);
    if (const TileBehind& v = a.behind; v.channels) {
      // Both are fetched by the tensor copy engine.
      if (w.channels % 64 || v.channels % 8) return "channels are not a multiple of 64, or behind of 8";
      if (v.height <= (w.out_height - 1) * v.stride_h || v.width <= (w.out_width - 1) * v.stride_w) return "the image behind is too small";
      if (images * v.height * v.width * v.channels >= kMost) return "it is too large";
      if (!wide_windows_fit(a)) return "the tensor copy engine has not such windows";
    }
    if (images * w.height * w.width * w.channels >= kMost) return "it is too large";
    if (w.height > 16384 || w.width > 16384 || w.pad_top > 4096 || w.pad_left > 4096) return "an image is too large";
    if (w.pad_top < 0 || w.pad_left < 0) return "a margin is negative";
  } else if (int64_t{a.m} * a.k >= kMost) {
    return "it is too large";
  }
  if (const int parts = wide_parts(variant); parts > 1) {
    // Steps are whole, and fetched by the tensor copy engine.
    if ((a.k + 63) / 64 < parts) return "there are fewer steps than parts";
    if (a.convolution && !wide_windows_fit(a)) return "the tensor copy engine has not such windows";
  }
  for (const void* p : {a.x, a.w, a.bias, a.addend, a.behind.x, static_cast<const void*>(a.y)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

cudaError_t wide_product(const TileGemmArgs& a, int variant, const DeviceTraits& device, cudaStream_t stream) {
  if (variant == kWideTurns) return turns_product(turns_of(a), device, stream);
  WideParams w{};
  w.activation = a.activation;
  QuantizedParams& p = w.p;
  p.a.n = a.n;
  p.a.x = a.x;
  p.a.w = a.w;
  p.a.bias = static_cast<const float*>(a.bias);
  p.a.residual = a.addend;
  p.a.y = a.y;
  p.m = a.m;
  p.k_chunks = a.k / 8;
  p.k_steps = (p.k_chunks + 7) / 8;
  p.blocks_n = (a.n + 63) / 64;
  p.plain = !a.convolution;
  p.a.dependent = a.dependent;
  p.behind_step = p.k_steps;
  if (a.convolution) {
    QuantizedProductArgs q = windows_of(a);
    q.n = a.n, q.w = a.w, q.bias = p.a.bias, q.residual = a.addend, q.y = a.y, q.dependent = a.dependent;
    p.a = q;
    p.tensor = describe(p.map, p.windows, q);
    if (a.behind.channels) {
      const QuantizedProductArgs second = pixels_behind(a);
      p.behind_step = (a.k - a.behind.channels) / 64;
      p.a.behind.stride_h = second.stride_h, p.a.behind.stride_w = second.stride_w;
      if (!p.tensor || !describe(p.behind, p.behind_windows, second)) return cudaErrorInvalidValue;
    }
  } else {
    p.a.batch = a.m;
    p.a.channels = 2 * a.k;
    p.tensor = describe_rows(p.map, a.x, a.m, int64_t{2} * a.k);
  }
  if (wide_parts(variant) > 1 && !p.tensor) return cudaErrorInvalidValue;
  return a.type == Scalar::kFloat16 ? wide_product_f16(w, variant, device, stream) : wide_product_bf16(w, variant, device, stream);
}

}  // namespace cameo::cuda
