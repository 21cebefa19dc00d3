// The kernel of wide_product.h: the ring, the fetching of x and W and the order of tiles are those of quantized_product.cuh, where a step
// of K is 128 bytes whatever their type. Sums are float32.
#pragma once

#include "backends/cuda/kernels/gelu.cuh"
#include "backends/cuda/kernels/quantized_product.cuh"
#include "backends/cuda/kernels/wide_product.h"

namespace cameo::cuda {

struct WideParams {
  QuantizedParams p;  // with its channels in bytes
  TileActivation activation;
};

namespace {

#define CAMEO_FLOAT(i) "+f"(d[i])
#define CAMEO_F96(p) CAMEO_R64(p), CAMEO_R8(p, 64), CAMEO_R8(p, 72), CAMEO_R8(p, 80), CAMEO_R8(p, 88)
#define CAMEO_WIDE_NAMES64                                                                                     \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
  "%23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define CAMEO_WIDE_NAMES128                                                                                    \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
  "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, "  \
  "%44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define CAMEO_WIDE_NAMES192                                                                                    \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
  "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, "  \
  "%44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, "  \
  "%65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, "  \
  "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95}"
#define CAMEO_WIDE(shape, types, names, a, b, c)                                                                      \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " c ", 0;\nwgmma.mma_async.sync.aligned." shape "." types " " names ", " a ", " b \
  ", p, 1, 1, 0, "                                                                                                    \
  "0;\n}"

// d[64 x N] = a[64 x 16] b[N x 16]^T, plus d where `more`.
template <typename T, int N>
__device__ __forceinline__ void wide_multiply(float* d, uint64_t a, uint64_t b, int more) {
#ifdef CAMEO_WGMMA
  if constexpr (N == 64) {
    if constexpr (__is_same(T, __half))
      asm volatile(CAMEO_WIDE("m64n64k16", "f32.f16.f16", CAMEO_WIDE_NAMES64, "%32", "%33", "%34")
                   : CAMEO_R32(CAMEO_FLOAT)
                   : "l"(a), "l"(b), "r"(more));
    else
      asm volatile(CAMEO_WIDE("m64n64k16", "f32.bf16.bf16", CAMEO_WIDE_NAMES64, "%32", "%33", "%34")
                   : CAMEO_R32(CAMEO_FLOAT)
                   : "l"(a), "l"(b), "r"(more));
  } else if constexpr (N == 128) {
    if constexpr (__is_same(T, __half))
      asm volatile(CAMEO_WIDE("m64n128k16", "f32.f16.f16", CAMEO_WIDE_NAMES128, "%64", "%65", "%66")
                   : CAMEO_R64(CAMEO_FLOAT)
                   : "l"(a), "l"(b), "r"(more));
    else
      asm volatile(CAMEO_WIDE("m64n128k16", "f32.bf16.bf16", CAMEO_WIDE_NAMES128, "%64", "%65", "%66")
                   : CAMEO_R64(CAMEO_FLOAT)
                   : "l"(a), "l"(b), "r"(more));
  } else {
    if constexpr (__is_same(T, __half))
      asm volatile(CAMEO_WIDE("m64n192k16", "f32.f16.f16", CAMEO_WIDE_NAMES192, "%96", "%97", "%98")
                   : CAMEO_F96(CAMEO_FLOAT)
                   : "l"(a), "l"(b), "r"(more));
    else
      asm volatile(CAMEO_WIDE("m64n192k16", "f32.bf16.bf16", CAMEO_WIDE_NAMES192, "%96", "%97", "%98")
                   : CAMEO_F96(CAMEO_FLOAT)
                   : "l"(a), "l"(b), "r"(more));
  }
#endif
}

template <int COUNT>
__device__ __forceinline__ void wide_hold(float* d) {
#pragma unroll
  for (int i = 0; i < COUNT; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

template <int COUNT>
__device__ __forceinline__ void wide_activate(TileActivation activation, float* v) {
  const auto each = [&](auto f) {
#pragma unroll
    for (int e = 0; e < COUNT; ++e) v[e] = f(v[e]);
  };
  switch (activation) {
    case TileActivation::kRelu:
      return each([](float x) { return x < 0.f ? 0.f : x; });
    case TileActivation::kGelu:
#pragma unroll
      for (int e = 0; e < COUNT; e += 2) gelu_pair(v[e], v[e + 1]);
      return;
    case TileActivation::kGeluTanh:
      return each([](float x) { return 0.5f * x * (1.f + fast_tanh(0.79788456080286536f * (x + 0.044715f * x * x * x))); });
    case TileActivation::kSilu:
      return each([](float x) { return x / (1.f + __expf(-x)); });
    case TileActivation::kHardSwish:
      return each([](float x) { return x * fmaxf(0.f, fminf(1.f, x / 6.f + 0.5f)); });
    default:
      return;
  }
}

// What does not fit float16 becomes the largest finite value; what is no number stays so.
template <typename T>
__device__ __forceinline__ uint32_t finite(uint32_t two) {
#if __CUDA_ARCH__ >= 800
  if constexpr (__is_same(T, __half)) {
    asm("min.NaN.f16x2 %0, %0, %1;" : "+r"(two) : "r"(0x7bff7bffu));
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(two) : "r"(0xfbfffbffu));
  }
#endif
  return two;
}

// 64 columns of two rows, `row` and row + 8. Of each 32 columns lane q of four has 8 neighbours, from 8 q on (wide_weight_offset).
struct WidePlace {
  int row, column;
};
// What is added there, in pieces of 8.
struct WideResidual {
  uint4 pieces[2][2];  // [half of the columns][row]
};
template <typename T>
__device__ __forceinline__ uint4 wide_fetch(const WideParams& w, WidePlace at, int g, int h, int q) {
  const QuantizedProductArgs& a = w.p.a;
  const int row = at.row + 8 * h, c = at.column + 32 * g + 8 * q;
  return row < w.p.m && c < a.n ? load_fresh(static_cast<const T*>(a.residual) + int64_t{row} * a.n + c) : uint4{};
}
// d holds 4 sums for each pair of columns, two of each row. AHEAD: `residual` was fetched before, and that for `next` is in its place then.
template <typename T, bool AHEAD>
__device__ __forceinline__ void wide_finish(const WideParams& w, const float* d, WidePlace at, WideResidual& residual, WidePlace next,
                                            int q) {
  const QuantizedProductArgs& a = w.p.a;
#pragma unroll
  for (int g = 0; g < 2; ++g) {
    const int c = at.column + 32 * g + 8 * q;
    const bool inside = c < a.n;
    float v[16];  // [row][8]
    uint4 biases{};
    if (a.bias && inside) biases = __ldg(reinterpret_cast<const uint4*>(reinterpret_cast<const T*>(a.bias) + c));
    const uint32_t bias[4] = {biases.x, biases.y, biases.z, biases.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 b = unpack2<T>(bias[i]);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        v[8 * h + 2 * i] = d[4 * (4 * g + i) + 2 * h] + b.x;
        v[8 * h + 2 * i + 1] = d[4 * (4 * g + i) + 2 * h + 1] + b.y;
      }
    }
    if (a.residual) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        uint4& piece = residual.pieces[g][h];
        if constexpr (!AHEAD) piece = wide_fetch<T>(w, at, g, h, q);
        float f[8];
        unpack16<T>(piece, f);
#pragma unroll
        for (int i = 0; i < 8; ++i) v[8 * h + i] += f[i];
        if constexpr (AHEAD) piece = wide_fetch<T>(w, next, g, h, q);
      }
    }
    wide_activate<16>(w.activation, v);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = at.row + 8 * h;
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) words[i] = finite<T>(pack2<T>(v[8 * h + 2 * i], v[8 * h + 2 * i + 1]));
      if (row < w.p.m && inside)
        *reinterpret_cast<uint4*>(static_cast<T*>(a.y) + int64_t{row} * a.n + c) = uint4{words[0], words[1], words[2], words[3]};
    }
  }
}

// d = the sums of the next `steps` stages, which are free then.
template <typename T, class C>
__device__ __forceinline__ void wide_sum(const QuantizedParams& p, float* d, int steps, uint32_t stages, uint32_t full, uint32_t empty,
                                         int& stage, uint32_t& phase) {
  constexpr int BN = C::BN, N = BN == 256 ? 128 : BN, kCount = BN / 2;
  const int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32;
  int last = -1;
  for (int step = 0; step < steps; ++step) {
    barrier_wait(full + 8 * stage, phase);
    // What cp.async wrote, for wgmma, which reads by another way. It waits for all that is on its way, so only then.
    if (!p.tensor) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    const uint32_t from = stages + stage * C::kStageBytes;
    const uint64_t at_a = matrix_descriptor(from + group * 64 * kStepBytes), at_b = matrix_descriptor(from + kTileRows * kStepBytes);
    wide_hold<kCount>(d);
    products_begin();
#pragma unroll
    for (int kk = 0; kk < 4; ++kk)
#pragma unroll
      for (int part = 0; part < BN / N; ++part)
        wide_multiply<T, N>(d + part * (N / 2), at_a + 2 * kk, at_b + 2 * kk + part * (N * kStepBytes >> 4), kk > 0 || step > 0);
    products_commit();
    wide_hold<kCount>(d);
    products_wait<1>();
    if (last >= 0 && lane == 0) barrier_arrive(empty + 8 * last);
    last = stage;
    if (++stage == C::kStages) stage = 0, phase ^= 1;
  }
  products_wait<0>();
  wide_hold<kCount>(d);
  if (last >= 0 && lane == 0) barrier_arrive(empty + 8 * last);
}

template <typename T, class C>
__device__ __forceinline__ void wide_consume(const WideParams& w, uint32_t stages, uint32_t full, uint32_t empty) {
  constexpr int BN = C::BN;
  const QuantizedParams& p = w.p;
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const auto place_of = [&](int tile) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
    return WidePlace{tile < p.tiles ? tile_m * kTileRows + group * 64 + warp * 16 + lane / 4 : p.m, tile_n * BN};
  };
  const auto further = [](WidePlace at, int u) { return WidePlace{at.row, at.column + 64 * u}; };
  // Of the next tile, where registers suffice.
  constexpr bool kAhead = BN <= 128;
  WideResidual residual[BN / 64];
  wait_for_predecessor();
  if (kAhead && p.a.residual)
#pragma unroll
    for (int u = 0; u < BN / 64; ++u)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        residual[u].pieces[i / 2][i % 2] = wide_fetch<T>(w, further(place_of(blockIdx.x), u), i / 2, i % 2, lane & 3);
  int stage = 0;
  uint32_t phase = 0;
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const WidePlace at = place_of(tile), next = place_of(tile + gridDim.x);
    float d[BN / 2];
    wide_sum<T, C>(p, d, p.k_steps, stages, full, empty, stage, phase);
#pragma unroll
    for (int u = 0; u < BN / 64; ++u) wide_finish<T, kAhead>(w, d + 32 * u, further(at, u), residual[u], further(next, u), lane & 3);
  }
}

// Where the kernel was compiled without wgmma, too few for a block.
#ifdef CAMEO_WGMMA
constexpr int kWideThreads = kThreads;
#else
constexpr int kWideThreads = 32;
#endif

template <typename T, class C>
__global__ void __launch_bounds__(kWideThreads, C::kBlocks) wide_kernel(const __grid_constant__ WideParams w) {
#ifdef CAMEO_WGMMA
  extern __shared__ uint8_t memory[];
  const QuantizedParams& p = w.p;
  const uint32_t stages = (shared_address(memory) + 1023) & ~1023u;
  const uint32_t full = stages + C::kStages * C::kStageBytes, empty = full + 8 * C::kStages;
  launch_dependents();
  if (threadIdx.x == 0) {
    for (int i = 0; i < C::kStages; ++i) {
      barrier_init(full + 8 * i, p.tensor ? 1 : 129);  // the threads that gather, and the one that asks for W
      barrier_init(empty + 8 * i, 8);                  // the warps that multiply
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(C::kGatherRegisters));
    if (!p.tensor)
      produce<C>(p, stages, full, empty);
    else if (threadIdx.x == 0)
      produce_rows<C>(p, stages, full, empty);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(C::kMultiplyRegisters));
    wide_consume<T, C>(w, stages, full, empty);
  }
#else
  __trap();
#endif
}

template <typename T, class C>
cudaError_t launch_wide(WideParams& w, const DeviceTraits& device, cudaStream_t stream) {
  QuantizedParams& p = w.p;
  p.tiles_n = (p.a.n + C::BN - 1) / C::BN;
  p.tiles = (p.m + kTileRows - 1) / kTileRows * p.tiles_n;
  const auto kernel = &wide_kernel<T, C>;
  const int most = device.multiprocessors * C::kBlocks;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tiles < most ? p.tiles : most)),
                          .block = dim3(kThreads),
                          .shared = C::kShared,
                          .dependent = p.a.dependent};
  return launch(kernel, shape, stream, w);
}

// Whether its code for this device has wgmma.
inline bool wide_kernel_is_there() {
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, wide_kernel<__half, Config<128, 1>>) == cudaSuccess) return attributes.maxThreadsPerBlock > 32;
  cudaGetLastError();
  return false;
}

}  // namespace
}  // namespace cameo::cuda
