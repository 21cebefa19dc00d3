// Skinny products of float32, exact: a warp has two rows of W, multiply-adds; x stays in shared memory.
#include "backends/cuda/kernels/skinny_gemm.cuh"
#include "backends/cuda/kernels/skinny_variants.h"

namespace cameo::cuda {
namespace {

constexpr int kRows = 2;

template <int M>
__global__ void __launch_bounds__(32 * kSkinnyWarps) skinny_f32_kernel(const __grid_constant__ SkinnyGemmArgs a) {
  extern __shared__ __align__(16) float x_f32[];  // [m, k]
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const bool glu = a.activation == Activation::kSwiGlu;
  launch_dependents();
  wait_for_predecessor();
  for (int m = warp; m < a.m; m += kSkinnyWarps) {
    const float* from = static_cast<const float*>(a.x) + m * a.x_stride;
    float* to = x_f32 + static_cast<int64_t>(m) * a.k;
    float sum = 0.f, squares = 0.f;
    for (int c = lane * 4; c < a.k; c += 128) {
      const uint4 raw = load_fresh(from + c);
      *reinterpret_cast<uint4*>(to + c) = raw;
      float f[4];
      unpack16<float>(raw, f);
      sum += (f[0] + f[1]) + (f[2] + f[3]);
    }
    if (a.norm == NormKind::kNone) continue;
    const float mean = a.norm == NormKind::kLayer ? warp_sum(sum) / a.k : 0.f;
    for (int c = lane * 4; c < a.k; c += 128)
      for (int i = 0; i < 4; ++i) squares += (to[c + i] - mean) * (to[c + i] - mean);
    const float inverse = 1.f / sqrtf(warp_sum(squares) / a.k + a.epsilon);
    const float* w = static_cast<const float*>(a.norm_weight);
    const float* b = static_cast<const float*>(a.norm_bias);
    for (int c = lane * 4; c < a.k; c += 128)
      for (int i = 0; i < 4; ++i) to[c + i] = (to[c + i] - mean) * inverse * w[c + i] + (b ? b[c + i] : 0.f);
  }
  __syncthreads();
  const int pairs = (a.n + kRows - 1) / kRows;
  for (int pair = blockIdx.x * kSkinnyWarps + warp; pair < pairs; pair += gridDim.x * kSkinnyWarps) {
    // Two rows behind each other, or a gate and its up.
    const int n0 = glu ? pair / 8 * 16 + pair % 8 : pair * 2, n1 = glu ? n0 + 8 : min(n0 + 1, a.n - 1);
    const float* w0 = static_cast<const float*>(a.w) + static_cast<int64_t>(n0) * a.k;
    const float* w1 = static_cast<const float*>(a.w) + static_cast<int64_t>(n1) * a.k;
    float acc[2][M] = {};
#pragma unroll 4
    for (int c = lane * 4; c < a.k; c += 128) {
      float f0[4], f1[4];
      unpack16<float>(load_stream(w0 + c), f0);
      unpack16<float>(load_stream(w1 + c), f1);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        if (m >= a.m) break;
        const float4 x = *reinterpret_cast<const float4*>(x_f32 + static_cast<int64_t>(m) * a.k + c);
        acc[0][m] += f0[0] * x.x + f0[1] * x.y + f0[2] * x.z + f0[3] * x.w;
        acc[1][m] += f1[0] * x.x + f1[1] * x.y + f1[2] * x.z + f1[3] * x.w;
      }
    }
    const float* bias = static_cast<const float*>(a.bias);
#pragma unroll
    for (int m = 0; m < M; ++m) {
      if (m >= a.m) break;
      float v0 = warp_sum(acc[0][m]), v1 = warp_sum(acc[1][m]);
      if (bias) v0 += bias[n0], v1 += bias[n1];
      if (lane > 1) continue;
      const bool second = lane == 1;
      if (second && (glu || n0 + 1 >= a.n)) continue;
      const auto finish = [&](float v) {
        if (a.activation == Activation::kGeluTanh) {
          const float u = 0.7978845608028654f * (v + 0.044715f * v * v * v);
          return 0.5f * v * (1.f + tanhf(u));
        }
        if (a.activation == Activation::kSilu || glu) return v / (1.f + expf(-v));
        return activate(a.activation, v);
      };
      const int n = glu ? pair : n0 + second;
      float y = glu ? finish(v0) * v1 : finish(second ? v1 : v0);
      if (a.residual) y += static_cast<const float*>(a.residual)[m * a.residual_stride + n];
      static_cast<float*>(a.y)[m * a.y_stride + n] = y;
    }
  }
}

}  // namespace

int64_t skinny_f32_shared(const SkinnyGemmArgs& a) { return int64_t{4} * a.m * a.k; }

cudaError_t skinny_f32(const SkinnyGemmArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const int blocks = ((a.n + 1) / 2 + kSkinnyWarps - 1) / kSkinnyWarps, most = device.multiprocessors * 4;
  LaunchShape shape{
      .grid = dim3(blocks < most ? blocks : most), .block = dim3(32 * kSkinnyWarps), .shared = static_cast<size_t>(skinny_f32_shared(a))};
  shape.dependent = a.dependent;
  if (a.m == 1) return launch(skinny_f32_kernel<1>, shape, stream, a);
  if (a.m <= 4) return launch(skinny_f32_kernel<4>, shape, stream, a);
  if (a.m <= 8) return launch(skinny_f32_kernel<8>, shape, stream, a);
  return launch(skinny_f32_kernel<16>, shape, stream, a);
}

}  // namespace cameo::cuda
