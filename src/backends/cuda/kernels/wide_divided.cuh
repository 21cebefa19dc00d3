// The kernel of wide_product.h for results that are too small to fill the device: the sum over k of a tile is divided among the blocks of
// a cluster, which then add and finish some rows of the tile each. Larger tiles than the device would else have blocks for move less.
#pragma once

#include "backends/cuda/kernels/wide_product.cuh"

namespace cameo::cuda {
namespace {

// Sums in shared memory: rows of so many numbers.
template <class C>
constexpr int kSumsPitch = C::BN + 4;

// One thread asks for the steps [first, last) of a tile.
template <class C>
__device__ __forceinline__ void produce_part(const QuantizedParams& p, int tile, int first, int last, uint32_t stages, uint32_t full,
                                             uint32_t empty) {
  const QuantizedProductArgs& a = p.a;
  const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n, begun = min(C::kStages, last - first);
  // W does not come from the kernel before.
  for (int i = 0; i < begun; ++i) begin_step<C>(p, tile_n, first + i, i, kTileRows * kStepBytes, stages, full);
  wait_for_predecessor();
  const int row = tile_m * kTileRows;
  int b = 0, out_y = 0, out_x = 0;
  if (p.windows || p.behind_windows) {
    const int area = a.out_h * a.out_w, rest = row % area;
    b = row / area;
    out_y = rest / a.out_w;
    out_x = rest % a.out_w;
  }
  // A step lies within one tap.
  const int per_tap = p.windows ? a.channels / kStepBytes : 1;
  int inner = first % per_tap * kStepBytes, tap_x = first / per_tap % a.kernel_w, tap_y = first / per_tap / a.kernel_w;
  int stage = 0;
  uint32_t phase = 1;
  for (int step = first; step < last; ++step) {
    const uint32_t to = stages + stage * C::kStageBytes, at = full + 8 * stage;
    if (step - first >= begun) {
      barrier_wait(empty + 8 * stage, phase);
      begin_step<C>(p, tile_n, step, stage, kTileRows * kStepBytes, stages, full);
    }
    const bool behind = step >= p.behind_step;
    const CUtensorMap* map = behind ? &p.behind : &p.map;
    if (behind && p.behind_windows) {
      fetch_windows(map, to, at, (step - p.behind_step) * kStepBytes, out_x * a.behind.stride_w, out_y * a.behind.stride_h, b, 0, 0);
    } else if (!behind && p.windows) {
      fetch_windows(map, to, at, inner, out_x * a.stride_w - a.pad_w, out_y * a.stride_h - a.pad_h, b, tap_x * a.dilation_w,
                    tap_y * a.dilation_h);
      inner += kStepBytes;
      if (inner == a.channels) inner = 0, ++tap_x;
      if (tap_x == a.kernel_w) tap_x = 0, ++tap_y;
    } else {
      asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
                   "l"(map), "r"((behind ? step - p.behind_step : step) * kStepBytes), "r"(row), "r"(at)
                   : "memory");
    }
    if (++stage == C::kStages) stage = 0, phase ^= 1;
  }
}

__device__ __forceinline__ void load_remote8(float* v, uint32_t address) {
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3])
               : "r"(address)
               : "memory");
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v[4]), "=f"(v[5]), "=f"(v[6]), "=f"(v[7])
               : "r"(address + 16)
               : "memory");
#endif
}

// The warps that multiply: a part of the sums of a tile, then all of them for some of its rows.
template <typename T, class C>
__device__ __forceinline__ void consume_part(const WideParams& w, float* sums, int tile, int steps, int rank, int parts, uint32_t stages,
                                             uint32_t full, uint32_t empty) {
  constexpr int BN = C::BN, kCount = BN / 2, kPitch = kSumsPitch<C>, kPieces = BN / 8, kWorkers = kThreads - 128;
  const QuantizedParams& p = w.p;
  const QuantizedProductArgs& a = p.a;
  const int t = threadIdx.x - 128, group = t / 128, warp = t / 32 % 4, lane = t % 32, q = lane & 3;
  const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
  {
    float d[kCount];
    int stage = 0;
    uint32_t phase = 0;
    wide_sum<T, C>(p, d, steps, stages, full, empty, stage, phase);
    // All have read the stages, where the sums go now.
    asm volatile("bar.sync 1, 256;" ::: "memory");
    float* to = sums + (group * 64 + warp * 16 + lane / 4) * kPitch + 8 * q;
#pragma unroll
    for (int g = 0; g < BN / 32; ++g)
#pragma unroll
      for (int h = 0; h < 2; ++h)
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const float* from = d + 4 * (4 * g + i) + 2 * h;
          *reinterpret_cast<float4*>(to + h * 8 * kPitch + 32 * g + 2 * i) = make_float4(from[0], from[1], from[4], from[5]);
        }
  }
  wait_for_predecessor();
  // Pieces of 8 columns of this block's rows.
  const int rows = kTileRows / parts, column = t % kPieces * 8, n = tile_n * BN + column;
  const bool inside = n < a.n;
  const auto row_of = [&](int i) { return rank * rows + t / kPieces + i * (kWorkers / kPieces); };
  const auto there = [&](int i) { return t / kPieces + i * (kWorkers / kPieces) < rows && tile_m * kTileRows + row_of(i) < p.m && inside; };
  constexpr int kHeld = 2;  // addends that are fetched early
  uint4 bias{}, held[kHeld];
  if (a.bias && inside) bias = __ldg(reinterpret_cast<const uint4*>(reinterpret_cast<const T*>(a.bias) + n));
  const auto addend = [&](int i) {
    return a.residual && there(i) ? load_fresh(static_cast<const T*>(a.residual) + int64_t{tile_m * kTileRows + row_of(i)} * a.n + n)
                                  : uint4{};
  };
#pragma unroll
  for (int i = 0; i < kHeld; ++i) held[i] = addend(i);
  cluster_arrive();
  cluster_wait();
  for (int i = 0; t / kPieces + i * (kWorkers / kPieces) < rows; ++i) {
    if (!there(i)) break;
    float v[8], other[8];
    unpack16<T>(bias, v);
    const float* from = sums + row_of(i) * kPitch + column;
    for (int part = 0; part < parts; part += 2) {
      float one[8], two[8];
      load_remote8(one, remote_address(from, part));
      load_remote8(two, remote_address(from, part + 1));
#pragma unroll
      for (int e = 0; e < 8; ++e) v[e] += one[e] + two[e];
    }
    unpack16<T>(i == 0 ? held[0] : i == 1 ? held[1] : addend(i), other);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] += other[e];
    wide_activate<8>(w.activation, v);
    uint32_t words[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) words[e] = finite<T>(pack2<T>(v[2 * e], v[2 * e + 1]));
    *reinterpret_cast<uint4*>(static_cast<T*>(a.y) + int64_t{tile_m * kTileRows + row_of(i)} * a.n + n) =
        uint4{words[0], words[1], words[2], words[3]};
  }
}

// Grid: tiles by the blocks of a cluster.
template <typename T, class C>
__global__ void __launch_bounds__(kWideThreads, 1) wide_divided_kernel(const __grid_constant__ WideParams w) {
#ifdef CAMEO_WGMMA
  extern __shared__ uint8_t memory[];
  const QuantizedParams& p = w.p;
  const uint32_t skipped = (1024 - (shared_address(memory) & 1023)) % 1024, stages = shared_address(memory) + skipped;
  const uint32_t full = stages + C::kStages * C::kStageBytes, empty = full + 8 * C::kStages;
  const int parts = static_cast<int>(gridDim.x) / p.tiles, tile = blockIdx.x / parts, rank = blockIdx.x % parts;
  const int first = p.k_steps * rank / parts, last = p.k_steps * (rank + 1) / parts;
  launch_dependents();
  if (threadIdx.x == 0) {
    for (int i = 0; i < C::kStages; ++i) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, 8);  // the warps that multiply
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(C::kGatherRegisters));
    if (threadIdx.x == 0) produce_part<C>(p, tile, first, last, stages, full, empty);
    __syncwarp();
    cluster_arrive();
    cluster_wait();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(C::kMultiplyRegisters));
    consume_part<T, C>(w, reinterpret_cast<float*>(memory + skipped), tile, last - first, rank, parts, stages, full, empty);
  }
  __syncwarp();
  // The others read this block's sums.
  cluster_arrive();
  cluster_wait();
#else
  __trap();
#endif
}

template <typename T, class C>
cudaError_t launch_divided(WideParams& w, int parts, cudaStream_t stream) {
  QuantizedParams& p = w.p;
  static_assert(kTileRows * kSumsPitch<C> * 4 <= C::kStages * C::kStageBytes);
  p.tiles_n = (p.a.n + C::BN - 1) / C::BN;
  p.tiles = (p.m + kTileRows - 1) / kTileRows * p.tiles_n;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tiles * parts)),
                          .block = dim3(kThreads),
                          .shared = C::kShared,
                          .cluster = static_cast<unsigned>(parts),
                          .dependent = p.a.dependent};
  return launch(wide_divided_kernel<T, C>, shape, stream, w);
}

template <typename T>
cudaError_t launch_wide_variant(WideParams& w, int variant, const DeviceTraits& device, cudaStream_t stream) {
  switch (variant) {
    case 0:
      return launch_wide<T, Config<64, 2>>(w, device, stream);
    case 1:
      return launch_wide<T, Config<128, 1>>(w, device, stream);
    case 2:
      return launch_wide<T, Config<192, 1>>(w, device, stream);
    case 3:
      return launch_wide<T, Config<256, 1>>(w, device, stream);
    default:
      break;
  }
  switch (wide_columns(variant)) {
    case 64:
      return launch_divided<T, Config<64, 1>>(w, wide_parts(variant), stream);
    case 128:
      return launch_divided<T, Config<128, 1>>(w, wide_parts(variant), stream);
    default:
      return launch_divided<T, Config<256, 1>>(w, wide_parts(variant), stream);
  }
}

}  // namespace
}  // namespace cameo::cuda
