#include "backends/cuda/kernels/turns_product.h"

#include "backends/cuda/kernels/turns_product.cuh"
#include "backends/cuda/kernels/turns_variants.h"

namespace cameo::cuda {

const char* turns_product_refusal(const TurnsArgs& a, const DeviceTraits& device) {
  using Activation = QuantizedProductArgs::Activation;
  if (device.capability != 90) return "needs compute capability 9.0";
  static const bool there = turns_product_has_wgmma();
  if (!there) return "the kernel was compiled without wgmma";
  if (device.shared_memory < 226 * 1024) return "there is too little shared memory";
  const bool float8 = a.x_type == Element::kFloat8;
  if (!float8 && a.x_type != Element::kFloat16 && a.x_type != Element::kBFloat16) return "x is neither of 16 bits nor an 8-bit float";
  if (float8 ? a.y_type != Element::kFloat8 && a.y_type != Element::kFloat16 : a.y_type != a.x_type) return "y has another type";
  if (a.activation != Activation::kNone && a.activation != Activation::kGelu) return "another activation";
  if (a.m < 1 || a.n < 1 || a.n % (float8 ? 16 : 8)) return "rows of y are no multiple of 16 bytes";
  constexpr int64_t kMost = int64_t{1} << 30;
  const int64_t bytes = a.k * bytes_of(a.x_type);
  if (bytes % 16 || bytes < kTurnsLeastBytes) return "rows of x are too short, or not a multiple of 16 bytes";
  if (a.m > kMost || a.n > kMost || a.m * bytes >= kMost || a.n * bytes >= kMost || int64_t{a.m} * a.n * bytes_of(a.y_type) >= 4 * kMost)
    return "it is too large";
  for (const void* p : {a.x, a.w, a.bias, static_cast<const void*>(a.y)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

cudaError_t turns_product(const TurnsArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  TurnsParams p{};
  const int64_t bytes = a.k * bytes_of(a.x_type);
  if (!describe_rows(p.x, a.x, a.m, bytes) || !describe_rows(p.y, a.y, a.m, a.n * bytes_of(a.y_type), kPatchRows))
    return cudaErrorNotSupported;
  p.w = static_cast<const uint8_t*>(a.w);
  p.bias = a.bias, p.scale = a.scale, p.y_factor = a.y_factor, p.out = a.y;
  p.m = a.m, p.n = a.n;
  p.k_steps = static_cast<int32_t>((bytes + kStepBytes - 1) / kStepBytes);
  p.blocks_n = (a.n + 63) / 64;
  p.tiles_n = (a.n + kTurnColumns - 1) / kTurnColumns;
  p.tiles = (a.m + kTileRows - 1) / kTileRows * p.tiles_n;
  switch (a.x_type) {
    case Element::kFloat16:
      return turns_product_f16(p, a, device, stream);
    case Element::kBFloat16:
      return turns_product_bf16(p, a, device, stream);
    default:
      return turns_product_float8(p, a, device, stream);
  }
}

}  // namespace cameo::cuda
