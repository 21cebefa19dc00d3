// y = act(norm(x) W^T + bias) + residual for few rows of x, at the speed at which W can be read.
#pragma once

#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

enum class WeightFormat : uint8_t {
  kPlain,  // of the type of x
  kInt8,   // [N, K] bytes, scales per group
  kInt4,   // [N, K / 2] bytes, the lower half byte first, scales per group (MatMulNBits' layout)
};
enum class NormKind : uint8_t { kNone, kLayer, kRms };
enum class Activation : uint8_t { kNone, kRelu, kGelu, kGeluTanh, kSilu, kSwiGlu };  // kSwiGlu: see SkinnyGemmArgs

struct SkinnyGemmArgs {
  Scalar type = Scalar::kFloat16;  // of x, y, bias, residual, norm weights and scales
  WeightFormat format = WeightFormat::kPlain;
  int32_t m = 0, n = 0, k = 0;     // rows of x (1..64), columns of y, extent of the sum (a multiple of 32; int4: of 128; int8: of 64)
  const void* x = nullptr;         // [m, k], rows x_stride elements apart
  int64_t x_stride = 0;            // a multiple of 16 bytes
  const void* w = nullptr;         // [n, k], K contiguous, 16-byte aligned
  const void* scales = nullptr;    // [n, k / group]: w = (q - zero) * scale
  const uint8_t* zeros = nullptr;  // kInt4: [n, ceil(k / group / 2)] half bytes; null: 8. kInt8 is signed and has none.
  int32_t group = 0;               // a power of 2 of at least 32 (int8: 16), or k: a scale per row
  const void* bias = nullptr;      // [n] or null
  const void* residual = nullptr;  // [m, n], rows residual_stride apart, or null; may be y
  int64_t residual_stride = 0;
  void* y = nullptr;  // [m, n], rows y_stride apart
  int64_t y_stride = 0;
  bool y_float32 = false;  // y is float32, whatever the type
  // kSwiGlu: rows 16 i + 0..7 of W are gates and rows 16 i + 8..15 the ups of the same 8 columns; y is [m, n / 2] of
  // silu(gate) * up. n is then a multiple of 16. swiglu_row() gives a row's place.
  Activation activation = Activation::kNone;
  NormKind norm = NormKind::kNone;    // over the rows of x, in float32
  const void* norm_weight = nullptr;  // [k]
  const void* norm_bias = nullptr;    // [k] or null
  float epsilon = 1e-5f;
  void* normalised = nullptr;  // [m, k]: the norm's result, or null
  bool dependent = false;      // programmatic dependent launch: starts while the kernel before it runs, and waits for it only
                               // after its weights are under way; the weights must not be that kernel's output
};

// Where row `i` of a gate (up = false) or an up projection stands in the weights of kSwiGlu.
constexpr int64_t swiglu_row(int64_t i, bool up) { return i / 8 * 16 + (up ? 8 : 0) + i % 8; }

const char* skinny_gemm_refusal(const SkinnyGemmArgs& args, const DeviceTraits& device);
cudaError_t skinny_gemm(const SkinnyGemmArgs& args, const DeviceTraits& device, cudaStream_t stream);

}  // namespace cameo::cuda
