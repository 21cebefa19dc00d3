// The kernel of tile_gemm.h. Tiles go to shared memory by asynchronous copies, some ahead, in rows of 128 bytes whose pieces of
// 16 are exchanged by row, so that neither copies nor reads meet in a bank.
#pragma once

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/tile_gemm.h"
#include "backends/cuda/kernels/tile_variants.h"
#include "backends/cuda/kernels/wgmma.cuh"

namespace cameo::cuda {

constexpr int kTileK = 64;

// With wgmma a warpgroup has 64 rows, a warp 16 of them, and all columns.
template <int M, int N, int WARPS_M, int WARPS_N, int STAGES, bool WGMMA = false>
struct Tile {
  static constexpr bool kWgmma = WGMMA;
  static constexpr int kM = M, kN = N, kWarpsM = WARPS_M, kWarpsN = WARPS_N, kStages = STAGES, kThreads = 32 * WARPS_M * WARPS_N;
  static constexpr int kStageBytes = (M + N) * kTileK * 2, kPitch = N + 8;
  static constexpr int kShared = (STAGES * kStageBytes > M * kPitch * 4 ? STAGES * kStageBytes : M * kPitch * 4) + (WGMMA ? 1023 : 0);
  static constexpr int kBlocks = M * N >= 128 * 256 ? 1 : M * N == 128 * 128 ? 2 : M * N == 64 * 128 ? 3 : 4;  // of a multiprocessor
  static constexpr bool kOverlapped = WGMMA && kBlocks == 1;            // else another block has the tensor cores meanwhile
  static constexpr int kAhead = kOverlapped ? STAGES - 2 : STAGES - 1;  // tiles on their way
  static constexpr int kPieces = M * N / 8 / kThreads;                  // of 8 results, of a thread, where k is not divided
  static constexpr int kHeld = kPieces <= 4 ? kPieces : 0;              // addends fetched early
};

// The error function within 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
__device__ __forceinline__ float error_function(float x) {
  const float a = fabsf(x), t = __fdividef(1.f, 1.f + 0.3275911f * a);
  const float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
  return copysignf(1.f - p * __expf(-a * a), x);
}

__device__ __forceinline__ void activate(TileActivation activation, float (&v)[8]) {
  const auto each = [&](auto f) {
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] = f(v[e]);
  };
  switch (activation) {
    case TileActivation::kRelu:
      return each([](float x) { return x < 0.f ? 0.f : x; });
    case TileActivation::kGelu:
      return each([](float x) { return 0.5f * x * (1.f + error_function(x * 0.70710678118654752f)); });
    case TileActivation::kGeluTanh:
      return each([](float x) { return 0.5f * x * (1.f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x))); });
    case TileActivation::kSilu:
      return each([](float x) { return x / (1.f + __expf(-x)); });
    case TileActivation::kHardSwish:
      return each([](float x) { return x * fmaxf(0.f, fminf(1.f, x / 6.f + 0.5f)); });
    default:
      return;
  }
}

__device__ __forceinline__ float4 load_remote4(uint32_t address) {
  float4 v{};
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address) : "memory");
#endif
  return v;
}

// Grid: parts of k (the blocks of a cluster), tiles along n, tiles along m.
template <typename T, class S, bool CONV>
__global__ void __launch_bounds__(S::kWgmma ? CAMEO_WGMMA_THREADS(S::kThreads) : S::kThreads)
    tile_gemm_kernel(const __grid_constant__ TileGemmArgs a) {
  constexpr int WM = S::kM / S::kWarpsM, WN = S::kN / S::kWarpsN, MT = WM / 16, NT = WN / 8;
  constexpr int ROWS = S::kThreads / 8, A_ROWS = S::kM / ROWS, B_ROWS = S::kN / ROWS;
  static_assert(S::kM % ROWS == 0 && S::kN % ROWS == 0 && WN % 16 == 0 && S::kThreads % (S::kN / 8) == 0);
  static_assert(!S::kWgmma || (S::kWarpsM * 16 == S::kM && S::kWarpsN == 1 && (S::kN == 64 || S::kN % 128 == 0)));
  extern __shared__ __align__(128) unsigned char memory[];
  unsigned char* shared = memory;
  if constexpr (S::kWgmma) shared += (1024 - (shared_address(memory) & 1023)) % 1024;
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, wm = warp / S::kWarpsN, wn = warp % S::kWarpsN;
  const int parts = gridDim.x, part = blockIdx.x, n0 = blockIdx.y * S::kN, m0 = blockIdx.z * S::kM;
  const int tiles = (a.k + kTileK - 1) / kTileK, each = (tiles + parts - 1) / parts;
  const int first = part * each, count = max(0, min(each, tiles - first));
  const int row = tid >> 3, piece = tid & 7;
  const uint32_t to = shared_address(shared) + row * 128 + ((piece ^ (row & 7)) << 4);  // ROWS is a multiple of 8

  const T* w_row[B_ROWS];
#pragma unroll
  for (int i = 0; i < B_ROWS; ++i) {
    const int n = n0 + row + i * ROWS;
    w_row[i] = n < a.n ? static_cast<const T*>(a.w) + static_cast<int64_t>(n) * a.k : nullptr;
  }
  const auto copy_to = [](uint32_t shared_at, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_at), "l"(from), "r"(bytes) : "memory");
#endif
  };
  const auto load_w = [&](int t) {
    const int k = (first + t) * kTileK + piece * 8;
    const uint32_t base = to + (t % S::kStages) * S::kStageBytes + S::kM * 128;
#pragma unroll
    for (int i = 0; i < B_ROWS; ++i) {
      const bool valid = w_row[i] && k < a.k;
      copy_to(base + i * ROWS * 128, valid ? w_row[i] + k : static_cast<const T*>(a.w), valid);
    }
  };

  const T* x_row[A_ROWS];
  int top[CONV ? A_ROWS : 1], left[CONV ? A_ROWS : 1];
#pragma unroll
  for (int i = 0; i < A_ROWS; ++i) {
    const int m = m0 + row + i * ROWS;
    x_row[i] = nullptr;
    if constexpr (CONV) {
      const int j = m % a.window.out_width, rest = m / a.window.out_width, h = rest % a.window.out_height, b = rest / a.window.out_height;
      top[i] = h * a.window.stride_h - a.window.pad_top;
      left[i] = j * a.window.stride_w - a.window.pad_left;
      if (m < a.m) x_row[i] = static_cast<const T*>(a.x) + static_cast<int64_t>(b) * a.window.height * a.window.width * a.window.channels;
    } else {
      if (m < a.m) x_row[i] = static_cast<const T*>(a.x) + static_cast<int64_t>(m) * a.k;
    }
  }
  // This thread's piece of the next tile, within the window.
  int tap_r = 0, tap_s = 0, channel = 0;
  if constexpr (CONV) {
    const int at = first * kTileK + piece * 8, tap = at / a.window.channels;
    channel = at % a.window.channels;
    tap_r = tap / a.window.kernel_width;
    tap_s = tap % a.window.kernel_width;
  }
  // Tiles from here on come from the image behind.
  const int behind_k = CONV && a.behind.channels ? a.k - a.behind.channels : INT32_MAX;
  bool behind = false;
  const auto turn_behind = [&] {
    behind = true;
#pragma unroll
    for (int i = 0; i < A_ROWS; ++i) {
      const int m = m0 + row + i * ROWS;
      const int j = m % a.window.out_width, rest = m / a.window.out_width, h = rest % a.window.out_height, b = rest / a.window.out_height;
      x_row[i] = m < a.m
                     ? static_cast<const T*>(a.behind.x) +
                           ((static_cast<int64_t>(b) * a.behind.height + h * a.behind.stride_h) * a.behind.width + j * a.behind.stride_w) *
                               a.behind.channels
                     : nullptr;
    }
  };
  const auto load_x = [&](int t) {  // in order
    const int k = (first + t) * kTileK + piece * 8;
    const uint32_t base = to + (t % S::kStages) * S::kStageBytes;
    if constexpr (CONV) {
      if ((first + t) * kTileK >= behind_k) {
        if (!behind) turn_behind();
#pragma unroll
        for (int i = 0; i < A_ROWS; ++i) {
          const bool valid = x_row[i] && k < a.k;
          copy_to(base + i * ROWS * 128, valid ? x_row[i] + (k - behind_k) : static_cast<const T*>(a.x), valid);
        }
        return;
      }
      const int down = tap_r * a.window.dilation_h, along = tap_s * a.window.dilation_w;
#pragma unroll
      for (int i = 0; i < A_ROWS; ++i) {
        const int h = top[i] + down, j = left[i] + along;
        const bool valid = x_row[i] && k < a.k && static_cast<unsigned>(h) < static_cast<unsigned>(a.window.height) &&
                           static_cast<unsigned>(j) < static_cast<unsigned>(a.window.width);
        copy_to(base + i * ROWS * 128,
                valid ? x_row[i] + (h * a.window.width + j) * a.window.channels + channel : static_cast<const T*>(a.x), valid);
      }
      channel += kTileK;
      while (channel >= a.window.channels) {
        channel -= a.window.channels;
        if (++tap_s == a.window.kernel_width) tap_s = 0, ++tap_r;
      }
    } else {
#pragma unroll
      for (int i = 0; i < A_ROWS; ++i) {
        const bool valid = x_row[i] && k < a.k;
        copy_to(base + i * ROWS * 128, valid ? x_row[i] + k : static_cast<const T*>(a.x), valid);
      }
    }
  };

  float acc[MT][NT][4] = {};
  launch_dependents();
#pragma unroll
  for (int t = 0; t < S::kAhead; ++t)
    if (t < count) load_w(t);
  wait_for_predecessor();
#pragma unroll
  for (int t = 0; t < S::kAhead; ++t) {
    if (t < count) load_x(t);
    copy_async_commit();
  }
  // This thread's results: pieces of 8 in rows `part_row + row_step * i`, all in one column.
  const int own_rows = S::kM / parts, part_row = part * own_rows, column = tid % (S::kN / 8) * 8, n = n0 + column;
  constexpr int kRowStep = S::kThreads / (S::kN / 8);
  const int first_row = tid / (S::kN / 8);
  uint4 bias{}, addends[S::kHeld > 0 ? S::kHeld : 1];
  if (a.bias && n < a.n) bias = *reinterpret_cast<const uint4*>(static_cast<const T*>(a.bias) + n);
  const auto addend_at = [&](int i) {
    const int r = first_row + i * kRowStep, m = m0 + part_row + r;
    return a.addend && r < own_rows && m < a.m && n < a.n ? load_fresh(static_cast<const T*>(a.addend) + static_cast<int64_t>(m) * a.n + n)
                                                          : uint4{};
  };
#pragma unroll
  for (int i = 0; i < S::kHeld; ++i) addends[i] = addend_at(i);
  if constexpr (S::kWgmma) {
    // Where a block is alone, a tile's products are under way while the next is waited for.
    const uint32_t base = shared_address(shared);
    for (int t = 0; t < count; ++t) {
      copy_async_wait<S::kAhead - 1>();
      fence_for_wgmma();
      __syncthreads();
      const uint32_t stage = base + (t % S::kStages) * S::kStageBytes;
      const uint64_t a_tile = wgmma_tile(stage + (warp >> 2) * 64 * 128), b_tile = wgmma_tile(stage + S::kM * 128);
      wgmma_begin();
#pragma unroll
      for (int kk = 0; kk < kTileK / 16; ++kk)
        if constexpr (S::kN == 64)
          wgmma64<T>(acc[0], a_tile + 2 * kk, b_tile + 2 * kk, true);
        else
#pragma unroll
          for (int j = 0; j < S::kN / 128; ++j)  // 32 bytes further along the rows, 128 rows further down
            wgmma128<T>(*reinterpret_cast<float(*)[16][4]>(acc[0][16 * j]), a_tile + 2 * kk, b_tile + j * 1024 + 2 * kk, true);
      wgmma_commit();
      if (const int next = t + S::kAhead; next < count) {
        load_w(next);
        load_x(next);
      }
      copy_async_commit();
      wgmma_wait<S::kOverlapped ? 1 : 0>();
    }
    wgmma_wait<0>();
  } else {
    const uint32_t a_from = shared_address(shared) + (wm * WM + (lane & 15)) * 128;
    const uint32_t b_from = shared_address(shared) + S::kM * 128 + (wn * WN + (lane >> 4) * 8 + (lane & 7)) * 128;
    for (int t = 0; t < count; ++t) {
      copy_async_wait<S::kAhead - 1>();
      __syncthreads();
      if (const int next = t + S::kAhead; next < count) {
        load_w(next);
        load_x(next);
      }
      copy_async_commit();
      const uint32_t stage = (t % S::kStages) * S::kStageBytes;
#pragma unroll
      for (int kk = 0; kk < kTileK / 16; ++kk) {
        uint32_t af[MT][4], bf[NT / 2][4];
        const uint32_t a_piece = ((kk * 2 + (lane >> 4)) ^ (lane & 7)) << 4, b_piece = ((kk * 2 + ((lane >> 3) & 1)) ^ (lane & 7)) << 4;
#pragma unroll
        for (int i = 0; i < MT; ++i) ldmatrix4_at(af[i], a_from + stage + i * 16 * 128 + a_piece);
#pragma unroll
        for (int j = 0; j < NT / 2; ++j) ldmatrix4_at(bf[j], b_from + stage + j * 16 * 128 + b_piece);
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
          for (int j = 0; j < NT / 2; ++j) {
            mma16816<T>(acc[i][2 * j], af[i], bf[j][0], bf[j][1]);
            mma16816<T>(acc[i][2 * j + 1], af[i], bf[j][2], bf[j][3]);
          }
      }
    }
  }
  copy_async_wait_all();
  __syncthreads();

  // The sums through shared memory, so that blocks add theirs and rows leave in pieces of 16 bytes.
  float* sums = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int i = 0; i < MT; ++i)
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        *reinterpret_cast<float2*>(sums + (wm * WM + i * 16 + e * 8 + (lane >> 2)) * S::kPitch + wn * WN + j * 8 + 2 * (lane & 3)) =
            make_float2(acc[i][j][2 * e], acc[i][j][2 * e + 1]);
  if (parts > 1) {
    cluster_arrive();
    cluster_wait();
  } else {
    __syncthreads();
  }
  float biases[8];
  unpack16<T>(bias, biases);
#pragma unroll
  for (int i = 0; i < S::kPieces; ++i) {
    const int own = first_row + i * kRowStep, r = part_row + own, m = m0 + r;
    if (own >= own_rows || m >= a.m || n >= a.n) break;
    float v[8], other[8];
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] = biases[e];
    const float* from = sums + r * S::kPitch + column;
    if (parts > 1) {
      for (int p = 0; p < parts; p += 4) {
        float4 low[4], high[4];
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          low[q] = high[q] = float4{};
          if (p + q >= parts) continue;
          const uint32_t address = remote_address(from, p + q);
          low[q] = load_remote4(address), high[q] = load_remote4(address + 16);
        }
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          v[0] += low[q].x, v[1] += low[q].y, v[2] += low[q].z, v[3] += low[q].w;
          v[4] += high[q].x, v[5] += high[q].y, v[6] += high[q].z, v[7] += high[q].w;
        }
      }
    } else {
      const float4 low = *reinterpret_cast<const float4*>(from), high = *reinterpret_cast<const float4*>(from + 4);
      v[0] += low.x, v[1] += low.y, v[2] += low.z, v[3] += low.w, v[4] += high.x, v[5] += high.y, v[6] += high.z, v[7] += high.w;
    }
    unpack16<T>(S::kHeld > 0 ? addends[S::kHeld > 0 ? i : 0] : addend_at(i), other);
    if (!a.addend_first) activate(a.activation, v);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] += other[e];
    if (a.addend_first) activate(a.activation, v);
    *reinterpret_cast<uint4*>(static_cast<T*>(a.y) + static_cast<int64_t>(m) * a.n + n) = pack16<T>(v);
  }
  if (parts > 1) {  // the others read this block's sums
    cluster_arrive();
    cluster_wait();
  }
}

template <typename T, class S>
cudaError_t run_tile(const TileGemmArgs& a, int parts, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(parts, (a.n + S::kN - 1) / S::kN, (a.m + S::kM - 1) / S::kM),
                          .block = dim3(S::kThreads),
                          .shared = static_cast<size_t>(S::kShared),
                          .cluster = static_cast<unsigned>(parts),
                          .dependent = a.dependent};
  return a.convolution ? launch(tile_gemm_kernel<T, S, true>, shape, stream, a) : launch(tile_gemm_kernel<T, S, false>, shape, stream, a);
}

// Whether its tiles with wgmma were compiled for this device.
template <typename T>
bool tile_gemm_has_wgmma() {
  return has_wgmma(tile_gemm_kernel<T, Tile<128, 128, 8, 1, 3, true>, false>);
}

// In the order of kTileSizes in tile_gemm.cu.
template <typename T>
cudaError_t tile_gemm_of(const TileGemmArgs& a, int choice, cudaStream_t stream) {
  const int parts = 1 << choice % 4;
  switch (choice / 4) {
    case 0:
      return run_tile<T, Tile<32, 64, 1, 4, 6>>(a, parts, stream);
    case 1:
      return run_tile<T, Tile<64, 64, 2, 2, 5>>(a, parts, stream);
    case 2:
      return run_tile<T, Tile<64, 128, 2, 4, 3>>(a, parts, stream);
    case 3:
      return run_tile<T, Tile<128, 64, 4, 2, 3>>(a, parts, stream);
    case 4:
      return run_tile<T, Tile<128, 128, 2, 4, 3>>(a, parts, stream);
    case 5:
      return run_tile<T, Tile<64, 128, 4, 1, 3, true>>(a, parts, stream);
    case 6:
      return run_tile<T, Tile<128, 128, 8, 1, 3, true>>(a, parts, stream);
    case 7:
      return run_tile<T, Tile<128, 256, 8, 1, 4, true>>(a, parts, stream);
    case 8:
      return run_tile<T, Tile<64, 64, 4, 1, 5, true>>(a, parts, stream);
    case 9:
      return run_tile<T, Tile<128, 64, 8, 1, 3, true>>(a, parts, stream);
    default:
      return run_tile<T, Tile<256, 128, 16, 1, 4, true>>(a, parts, stream);
  }
}

}  // namespace cameo::cuda
