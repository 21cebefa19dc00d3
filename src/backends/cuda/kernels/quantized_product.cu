#include "backends/cuda/kernels/quantized_product.h"

#include "backends/cuda/kernels/quantized_product.cuh"
#include "backends/cuda/kernels/quantized_variants.h"

namespace cameo::cuda {
namespace {

// A function of the driver, or null.
template <typename F>
F driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const bool good = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result) == cudaSuccess;
  return good && result == cudaDriverEntryPointSuccess ? reinterpret_cast<F>(found) : nullptr;
}

}  // namespace

bool describe_rows(CUtensorMap& map, const void* x, int64_t rows, int64_t bytes, int tile_rows) {
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  if (!encode) return false;
  const cuuint64_t dims[] = {static_cast<cuuint64_t>(bytes), static_cast<cuuint64_t>(rows)}, strides[] = {static_cast<cuuint64_t>(bytes)};
  const cuuint32_t box[] = {kStepBytes, static_cast<cuuint32_t>(tile_rows)}, steps[] = {1, 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<void*>(x), dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// The corners between which windows begin, as distances from those of the image: along the width, then along the height.
struct Corners {
  int lower[2], upper[2];
};
Corners corners_of(const QuantizedProductArgs& a) {
  return {{-a.pad_w, -a.pad_h}, {(a.out_w - 1) * a.stride_w - a.pad_w - (a.in_w - 1), (a.out_h - 1) * a.stride_h - a.pad_h - (a.in_h - 1)}};
}

bool windows_fit(const QuantizedProductArgs& a, int bytes) {
  if (a.channels % bytes || a.padding != 0) return false;
  const Corners c = corners_of(a);
  for (const int corner : {c.lower[0], c.lower[1], c.upper[0], c.upper[1]})
    if (corner < -128 || corner > 127) return false;
  return (a.kernel_w - 1) * a.dilation_w <= 255 && (a.kernel_h - 1) * a.dilation_h <= 255 && a.stride_w <= 8 && a.stride_h <= 8;
}

bool describe_windows(CUtensorMap& map, const QuantizedProductArgs& a, int width_bytes) {
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  if (!encode || !windows_fit(a, width_bytes)) return false;
  const Corners c = corners_of(a);
  const auto bytes = static_cast<cuuint64_t>(a.channels), width = static_cast<cuuint64_t>(a.in_w), height = static_cast<cuuint64_t>(a.in_h);
  const cuuint64_t dims[] = {bytes, width, height, static_cast<cuuint64_t>(a.batch)},
                   strides[] = {bytes, bytes * width, bytes * width * height};
  const cuuint32_t steps[] = {1, static_cast<cuuint32_t>(a.stride_w), static_cast<cuuint32_t>(a.stride_h), 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 4, const_cast<void*>(a.x), dims, strides, c.lower, c.upper, width_bytes, kTileRows,
                steps, CU_TENSOR_MAP_INTERLEAVE_NONE, width_bytes == kStepBytes ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

namespace {

bool plain_rows(const QuantizedProductArgs& a) {
  return a.kernel_h == 1 && a.kernel_w == 1 && a.stride_h == 1 && a.stride_w == 1 && a.pad_h == 0 && a.pad_w == 0 && a.in_h == a.out_h &&
         a.in_w == a.out_w;
}
// What is added as windows of one pixel.
QuantizedProductArgs pixels_behind(const QuantizedProductArgs& a) {
  QuantizedProductArgs b;
  b.batch = a.batch, b.out_h = a.out_h, b.out_w = a.out_w;
  b.in_h = a.behind.in_h, b.in_w = a.behind.in_w, b.channels = a.behind.channels;
  b.stride_h = a.behind.stride_h, b.stride_w = a.behind.stride_w;
  b.x = a.behind.x;
  return b;
}

}  // namespace

const char* quantized_product_refusal(const QuantizedProductArgs& a, const DeviceTraits& device) {
  if (device.capability != 90) return "needs compute capability 9.0";
  if (a.x_type != Element::kUint8 && a.x_type != Element::kInt8 && a.x_type != Element::kFloat8) return "x is not of 8 bits";
  if (a.n < 1 || a.channels < 1 || a.rows() < 1) return "an extent is not positive";
  if (a.channels % 16) return "channels are no multiple of 16";
  if (a.n * bytes_of(a.y_type) % 16) return "rows of y are no multiple of 16 bytes";
  if (a.residual_type != Element::kNone && a.n * bytes_of(a.residual_type) % 16) return "rows of the residual are no multiple of 16 bytes";
  for (const void* at : {a.x, static_cast<const void*>(a.y), a.residual, a.w})
    if (reinterpret_cast<uintptr_t>(at) % 16) return "an operand does not lie on multiples of 16 bytes";
  constexpr int64_t kMost = int64_t{1} << 31;
  if ((a.rows() + 127) / 128 * ((a.n + 63) / 64) >= kMost) return "it is too large";
  if (a.rows() > kMost - 256 || int64_t{a.batch} * a.in_h * a.in_w * a.channels >= kMost || a.k() >= kMost) return "it is too large";
  if (device.shared_memory < 200 * 1024) return "there is too little shared memory";
  if (a.in_h > 16384 || a.in_w > 16384 || a.pad_h > 4096 || a.pad_w > 4096) return "an image is too large";
  if (a.behind.channels) {
    const QuantizedProductArgs b = pixels_behind(a);
    if (b.channels < 16 || b.channels % 16) return "channels of what is added are no multiple of 16";
    if (reinterpret_cast<uintptr_t>(b.x) % 16) return "an operand does not lie on multiples of 16 bytes";
    if (b.stride_h < 1 || b.stride_w < 1 || b.in_h <= (b.out_h - 1) * b.stride_h || b.in_w <= (b.out_w - 1) * b.stride_w)
      return "the image of what is added is too small";
    if (b.in_h > 16384 || b.in_w > 16384 || a.weight_rows() >= kMost) return "it is too large";
    if (!(plain_rows(a) || windows_fit(a) || windows_fit(a, kStepBytes / 2)) || !(plain_rows(b) || windows_fit(b)))
      return "the tensor copy engine has not such windows";
  }
  return nullptr;
}

cudaError_t quantized_product(const QuantizedProductArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  QuantizedParams p{};
  p.a = a;
  p.m = static_cast<int32_t>(a.rows());
  p.k_chunks = static_cast<int32_t>(a.k() / 16);
  p.k_steps = (p.k_chunks + 7) / 8;
  p.blocks_n = (a.n + 63) / 64;
  p.behind_step = p.k_steps;
  p.pad_word = a.padding * 0x01010101u;
  p.plain = plain_rows(a);
  if (p.plain) {
    p.tensor = describe_rows(p.map, a.x, p.m, a.channels);
  } else {
    p.windows = describe_windows(p.map, a);
    p.halves = !p.windows && describe_windows(p.map, a, kStepBytes / 2);
    p.tensor = p.windows = p.windows || p.halves;
  }
  if (a.behind.channels) {
    const QuantizedProductArgs behind = pixels_behind(a);
    p.behind_windows = !plain_rows(behind);
    p.k_steps += (a.behind.channels + kStepBytes - 1) / kStepBytes;
    if (!p.tensor || !(p.behind_windows ? describe_windows(p.behind, behind) : describe_rows(p.behind, behind.x, p.m, behind.channels)))
      return cudaErrorInvalidValue;
  } else if (p.plain) {
    // What gathers rows sees one pixel a row.
    p.a.batch = p.m;
    p.a.in_h = p.a.in_w = p.a.out_h = p.a.out_w = 1;
  }
  switch (a.x_type) {
    case Element::kUint8:
      return quantized_product_u8(p, device, stream);
    case Element::kInt8:
      return quantized_product_s8(p, device, stream);
    default:
      return quantized_product_float8(p, device, stream);
  }
}

}  // namespace cameo::cuda
