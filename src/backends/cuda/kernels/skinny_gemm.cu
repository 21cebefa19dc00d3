// Products of few rows of x with a large W: what bounds them is reading W once, and the latency around it.
//
// W is the left side of mma.m16n8k16: tiles of 16 of its rows, the rows of x (up to 8, 16 or 64) as columns. A lane reads 16
// bytes of two rows straight into the registers of its fragments: the sum may run over K in any order as long as x follows,
// so nothing passes through shared memory but x. 4 or 6 such pieces are in flight per lane, the first of them before the
// kernel waits for its predecessor (programmatic dependent launch): the chain of a decoder then hides its latencies.
//
// Variants:
//   split  8 warps share K (4 above 16 rows of x, with two tiles) and add up through shared memory. Where W has few rows, up
//          to 8 blocks of a cluster share K as well and push their sums to the block that finishes them, in a fixed order.
//   small  the same for short K, made for a decoder's chain: tiles of 8 rows and up to 16 warps where W has few rows, which
//          needs no cluster; tiles of 24 rows where that makes one wave of blocks, each of which normalises x once.
//   rows   W has many rows (the head of a language model): each warp has its own tiles and all of K; x is staged once per
//          block, tiles follow one another without a gap in the loads.
//   f32    float32, exact (skinny_f32.cu).
// x is normalised in each block on its way to shared memory: cheaper than a kernel of its own. Weights of 8 and 4 bits become
// 16-bit numbers in registers by placing their bits in a number's mantissa.
#include "backends/cuda/kernels/skinny_gemm.h"

#include "backends/cuda/kernels/skinny_gemm.cuh"
#include "backends/cuda/kernels/skinny_variants.h"

namespace cameo::cuda {

const char* skinny_gemm_refusal(const SkinnyGemmArgs& a, const DeviceTraits& device) {
  const int limit = a.type == Scalar::kFloat32 ? 16 : 64;
  if (a.m < 1 || a.m > limit) return a.type == Scalar::kFloat32 ? "not 1 to 16 rows of float32" : "not 1 to 64 rows";
  if (a.n < 1 || a.k < 1) return "an extent is not positive";
  const int block = a.type == Scalar::kFloat32 ? 4 : a.format == WeightFormat::kPlain ? 32 : a.format == WeightFormat::kInt8 ? 64 : 128;
  if (a.k % block) return "K is no multiple of the kernel's step";
  if (a.type == Scalar::kFloat32 && a.format != WeightFormat::kPlain) return "quantised weights need x of 16 bits";
  if (a.x_stride * bytes_of(a.type) % 16 || reinterpret_cast<uintptr_t>(a.x) % 16 || reinterpret_cast<uintptr_t>(a.w) % 16)
    return "x or W does not lie on multiples of 16 bytes";
  if (a.format != WeightFormat::kPlain) {
    if (!a.scales) return "quantised weights have no scales";
    if (a.group < 1 || a.k % a.group || a.group % (a.format == WeightFormat::kInt4 ? 32 : 16) ||
        (a.group != a.k && (a.group & (a.group - 1))))
      return "the group's size is not a power of 2, or too small";
  }
  if (a.norm != NormKind::kNone &&
      (!a.norm_weight || reinterpret_cast<uintptr_t>(a.norm_weight) % 16 || reinterpret_cast<uintptr_t>(a.norm_bias) % 16))
    return "the norm's weights are missing or do not lie on multiples of 16 bytes";
  if (a.normalised && (a.norm == NormKind::kNone || a.type == Scalar::kFloat32 || reinterpret_cast<uintptr_t>(a.normalised) % 16))
    return "the norm's result is given in 16 bits alone, on multiples of 16 bytes";
  if (a.activation == Activation::kSwiGlu && a.n % 16) return "SwiGLU needs a multiple of 16 rows";
  if (a.type != Scalar::kFloat32 && device.capability < 80) return "needs compute capability 8.0";
  const int64_t shared = a.type == Scalar::kFloat32 ? skinny_f32_shared(a) : static_cast<int64_t>(skinny_shape(a, false, device).shared);
  if (shared > device.shared_memory) return "x does not fit shared memory";
  return nullptr;
}

cudaError_t skinny_gemm(const SkinnyGemmArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  if (a.type == Scalar::kFloat32) return skinny_f32(a, device, stream);
  SkinnyParams params{.a = a};
  return a.type == Scalar::kFloat16 ? skinny_f16(params, device, stream) : skinny_bf16(params, device, stream);
}

}  // namespace cameo::cuda
