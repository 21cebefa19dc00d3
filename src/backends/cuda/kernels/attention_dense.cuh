// The variant of attention.cu for Hopper where every query sees every key, heads of 64: see there.
#pragma once

#include <cuda.h>

#include "backends/cuda/kernels/attention_softmax.cuh"
#include "backends/cuda/kernels/barrier.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/wgmma.cuh"

namespace cameo::cuda {

constexpr int kDenseQueries = 128, kDenseStages = 5;  // queries of a block; tiles of keys and values in shared memory
constexpr int kDenseTileBytes = kAttentionTile * 128, kDenseBarrierBytes = 8 * (2 * kDenseStages + 2);
// A row's sums are corrected where its scores, in units of log2, grow by more than this: weights of up to 2^8 lose nothing.
constexpr float kDenseSlack = 8.f;

struct DenseAttention {
  AttentionArgs a;
  CUtensorMap q, k, v;  // [batch, heads, rows, 64]: boxes of 128 queries, or of a tile of keys or values
};

__device__ __forceinline__ void dense_fetch(uint32_t to, const CUtensorMap& map, int row, int h, int b, uint32_t barrier) {
#if CAMEO_WGMMA
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
      "l"(&map), "r"(0), "r"(row), "r"(h), "r"(b), "r"(barrier)
      : "memory");
#endif
}

// 256 threads, two warpgroups of 64 queries each that wait for tiles of keys and values alone, not for one another: while one computes
// its softmax, the others of the multiprocessor have the tensor cores. The next tile's scores follow this one's values at once.
template <typename T, bool BIAS>
__global__ void __launch_bounds__(CAMEO_WGMMA_THREADS(256), 2) attention_dense(const __grid_constant__ DenseAttention d) {
#if CAMEO_WGMMA
  constexpr int BM = kDenseQueries, BN = kAttentionTile;
  extern __shared__ __align__(16) unsigned char memory[];
  const AttentionArgs& a = d.a;
  unsigned char* shared = memory + (1024 - (shared_address(memory) & 1023)) % 1024;
  const uint32_t sq = shared_address(shared), sk = sq + BM * 128, sv = sk + kDenseStages * kDenseTileBytes;
  const uint32_t full = sv + kDenseStages * kDenseTileBytes, empty = full + 8 * kDenseStages, queries = empty + 8 * kDenseStages;
  float* masks = reinterpret_cast<float*>(shared + BM * 128 + 2 * kDenseStages * kDenseTileBytes + kDenseBarrierBytes);

  launch_dependents();
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, group = warp >> 2, g = lane >> 2, t4 = lane & 3;
  const int h = blockIdx.y, b = blockIdx.z, kv_head = h / (a.heads / a.kv_heads), row0 = blockIdx.x * BM;
  const int length = min(a.keys, a.bias_keys), tiles = (length + BN - 1) / BN, padded = tiles * BN;
  const auto fetch_tile = [&](int tile, int stage) {
    const uint32_t at = full + 8 * stage;
    mbarrier_expect(at, 2 * kDenseTileBytes);
    dense_fetch(sk + stage * kDenseTileBytes, d.k, tile * BN, kv_head, b, at);
    dense_fetch(sv + stage * kDenseTileBytes, d.v, tile * BN, kv_head, b, at);
  };
  if (tid == 0) {
    for (int i = 0; i < kDenseStages; ++i) mbarrier_init(full + 8 * i, 1), mbarrier_init(empty + 8 * i, 8);
    mbarrier_init(queries, 1);
    mbarrier_init_fence();
    fence_for_wgmma();
    wait_for_predecessor();
    mbarrier_expect(queries, BM * 128);
    dense_fetch(sq, d.q, row0, h, b, queries);
    for (int i = 0; i < kDenseStages && i < tiles; ++i) fetch_tile(i, i);
  }
  // Biases in units of log2: of keys, which hide those that there are not, and along diagonals.
  float* relative = masks + padded;  // [j - (i - row0) + BM - 1]
  bool masked = false;
  if constexpr (BIAS) {
    if (a.relative) {
      const float* table = a.relative + static_cast<int64_t>(h) * a.relative_stride + a.relative_origin;
      const int rows = min(BM, a.queries - row0);
      for (int j = tid - (BM - 1); j < padded; j += 256) relative[j + BM - 1] = j > -rows && j < length ? to_log2(table[j - row0]) : 0.f;
    }
    wait_for_predecessor();
    for (int j = tid; j < padded; j += 256) {
      float mask = j < length ? 0.f : -INFINITY;
      if (a.bias && j < length) mask = bias_at(a, bias_row(a, b, h, 0) + j);
      masks[j] = mask;
      masked |= mask != 0.f;
    }
  }
  masked = __syncthreads_or(masked);  // a mask that hides nothing costs nothing
  if constexpr (!BIAS) wait_for_predecessor();

  const float scale = a.scale * kLog2e;
  float o[8][4] = {}, s[8][4], m[2] = {-INFINITY, -INFINITY}, l[2] = {};
  uint32_t p[4][4];
  const uint64_t q_tile = wgmma_tile(sq + group * 64 * 128);
  int stage = 0;
  uint32_t phase = 0;
  const auto scores = [&] {
    mbarrier_wait(full + 8 * stage, phase);
    const uint64_t k_tile = wgmma_tile(sk + stage * kDenseTileBytes);
    wgmma_begin();
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) wgmma64<T>(s, q_tile + 2 * kk, k_tile + 2 * kk, kk > 0);  // 32 bytes further along the rows
    wgmma_commit();
  };
  mbarrier_wait(queries, 0);
  scores();
  wgmma_wait<0>();
  for (int t = 0; t < tiles; ++t) {
    const int key0 = t * BN + 2 * t4;
    if constexpr (BIAS) {
      if (a.relative) {
        // Along a diagonal a bias is the same: 8 rows further down there is that of 8 keys before.
        const float* from = relative + key0 - warp * 16 - g + BM - 1;
        float last[2] = {from[-8], from[-7]};
#pragma unroll
        for (int n = 0; n < 8; ++n) {
          const float next[2] = {from[8 * n], from[8 * n + 1]};
#pragma unroll
          for (int e = 0; e < 4; ++e) s[n][e] = s[n][e] * scale + (e < 2 ? next : last)[e & 1];
          last[0] = next[0], last[1] = next[1];
        }
      } else {
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) s[n][e] *= scale;
      }
      if (masked) {
#pragma unroll
        for (int n = 0; n < 8; ++n) {
          const float2 mask = *reinterpret_cast<const float2*>(masks + key0 + n * 8);
#pragma unroll
          for (int e = 0; e < 4; ++e) s[n][e] += e & 1 ? mask.y : mask.x;
        }
      }
    }
    const float late = BIAS ? 1.f : scale;  // scores without a bias are scaled within the power of 2
    float seen[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float largest = -INFINITY;
#pragma unroll
      for (int n = 0; n < 8; ++n) largest = fmaxf(largest, fmaxf(s[n][2 * e], s[n][2 * e + 1]));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
      seen[e] = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2)) * late;
    }
    if (__any_sync(~0u, seen[0] > m[0] + kDenseSlack || seen[1] > m[1] + kDenseSlack)) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float largest = fmaxf(m[e], seen[e]);
        const float correction = power_of_2(m[e] - (largest == -INFINITY ? 0.f : largest));
        m[e] = largest;
        l[e] *= correction;
#pragma unroll
        for (int n = 0; n < 8; ++n) o[n][2 * e] *= correction, o[n][2 * e + 1] *= correction;
      }
    }
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float base = m[e] == -INFINITY ? 0.f : m[e];
      float sum[2] = {};
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        s[n][2 * e] = power_of_2(s[n][2 * e] * late - base);
        s[n][2 * e + 1] = power_of_2(s[n][2 * e + 1] * late - base);
        sum[0] += s[n][2 * e], sum[1] += s[n][2 * e + 1];
      }
      l[e] += sum[0] + sum[1];
    }
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) {
      p[kk][0] = pack2<T>(s[2 * kk][0], s[2 * kk][1]);
      p[kk][1] = pack2<T>(s[2 * kk][2], s[2 * kk][3]);
      p[kk][2] = pack2<T>(s[2 * kk + 1][0], s[2 * kk + 1][1]);
      p[kk][3] = pack2<T>(s[2 * kk + 1][2], s[2 * kk + 1][3]);
    }
    const uint64_t v_tile = wgmma_tile(sv + stage * kDenseTileBytes);
    const int last = stage;
    wgmma_begin();
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) wgmma64_turned<T>(o, p[kk], v_tile + 128 * kk);  // 16 rows further
    wgmma_commit();
    const uint32_t last_phase = phase;
    if (++stage == kDenseStages) stage = 0, phase ^= 1;
    if (t + 1 < tiles) scores();  // on their way before these values are added
    wgmma_wait<0>();
    if (lane == 0) mbarrier_arrive(empty + 8 * last);
    if (tid == 0 && t > 0 && t - 1 + kDenseStages < tiles) {  // where the tile before was
      const int free = last == 0 ? kDenseStages - 1 : last - 1;
      mbarrier_wait(empty + 8 * free, last == 0 ? last_phase ^ 1 : last_phase);
      fetch_tile(t - 1 + kDenseStages, free);
    }
    __syncwarp();
  }

  // Through the queries' place in shared memory, so that rows leave in pieces of 16 bytes; a warp only uses its own rows.
  asm volatile("bar.sync %0, 128;" ::"r"(1 + group) : "memory");
  T* held = reinterpret_cast<T*>(shared);
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    float sum = l[e];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum > 0.f ? 1.f / sum : (sum == 0.f ? 0.f : sum);
    const int r = warp * 16 + g + e * 8;
#pragma unroll
    for (int n = 0; n < 8; ++n)
      *reinterpret_cast<uint32_t*>(held + r * 64 + ((n ^ (r & 7)) << 3) + 2 * t4) =
          pack2<T>(o[n][2 * e] * inverse, o[n][2 * e + 1] * inverse);
  }
  __syncwarp();
  T* out = static_cast<T*>(a.out) + b * a.out_strides.batch + h * a.out_strides.head;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int r = warp * 16 + i * 4 + (lane >> 3), c = lane & 7;
    if (row0 + r < a.queries)
      *reinterpret_cast<uint4*>(out + (row0 + r) * a.out_strides.row + c * 8) =
          *reinterpret_cast<const uint4*>(held + r * 64 + ((c ^ (r & 7)) << 3));
  }
#else
  __trap();
#endif
}

inline int64_t attention_dense_shared(const AttentionArgs& a) {
  const int64_t keys = (a.keys + kAttentionTile - 1) / kAttentionTile * kAttentionTile;
  return kDenseQueries * 128 + 2 * kDenseStages * kDenseTileBytes + kDenseBarrierBytes + 4 * (2 * keys + kDenseQueries) + 1023;
}

// How the tensor copy engine sees rows of heads, `box` of them at a time; false where the driver has none.
inline bool describe_heads(CUtensorMap& map, Scalar type, const void* data, const HeadStrides& s, int rows, int heads, int batch, int box) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const bool good = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result) == cudaSuccess;
    return good && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
  }();
  if (!encode) return false;
  // Of an axis that is 1 long any stride will do.
  const auto bytes = [](int64_t stride, int extent) { return static_cast<cuuint64_t>(extent == 1 ? 128 : 2 * stride); };
  const cuuint64_t dims[] = {64, static_cast<cuuint64_t>(rows), static_cast<cuuint64_t>(heads), static_cast<cuuint64_t>(batch)},
                   strides[] = {bytes(s.row, rows), bytes(s.head, heads), bytes(s.batch, batch)};
  const cuuint32_t boxes[] = {64, static_cast<cuuint32_t>(box), 1, 1}, steps[] = {1, 1, 1, 1};
  return encode(&map, type == Scalar::kFloat16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4,
                const_cast<void*>(data), dims, strides, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// Whether it was done so; the error of the launch is in `e`. Measured on an H200: of 512 keys with enough blocks it takes 6 to 17 % less
// than attention_wgmma; with few blocks, few keys or very many it does not gain.
template <typename T>
bool try_attention_dense(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream, cudaError_t& e) {
  const int64_t blocks = int64_t{(a.queries + kDenseQueries - 1) / kDenseQueries} * a.heads * a.batch;
  if (a.size != 64 || a.causal || a.window >= 0 || a.key_lengths || a.softcap != 0.f || !(a.scale > 0.f) || a.rounded) return false;
  if (a.keys < 256 || a.keys > 1024 || blocks < 8 * device.multiprocessors) return false;
  if (a.bias_type != BiasType::kNone && (a.bias_strides.row != 0 || a.bias_keys < 1)) return false;
  if (attention_dense_shared(a) > device.shared_memory) return false;
  DenseAttention d{.a = a};
  if (!describe_heads(d.q, a.type, a.q, a.q_strides, a.queries, a.heads, a.batch, kDenseQueries) ||
      !describe_heads(d.k, a.type, a.k, a.k_strides, a.keys, a.kv_heads, a.batch, kAttentionTile) ||
      !describe_heads(d.v, a.type, a.v, a.v_strides, a.keys, a.kv_heads, a.batch, kAttentionTile))
    return false;
  const LaunchShape shape{.grid = dim3((a.queries + kDenseQueries - 1) / kDenseQueries, a.heads, a.batch),
                          .block = dim3(256),
                          .shared = static_cast<size_t>(attention_dense_shared(a)),
                          .dependent = true};
  const bool bias = a.bias_type != BiasType::kNone || a.relative || (a.keys < a.bias_keys ? a.keys : a.bias_keys) % kAttentionTile != 0;
  e = bias ? launch(attention_dense<T, true>, shape, stream, d) : launch(attention_dense<T, false>, shape, stream, d);
  return true;
}

}  // namespace cameo::cuda
