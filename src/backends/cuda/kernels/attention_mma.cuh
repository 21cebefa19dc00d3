// The tensor core variant of attention.cu: see there.
#pragma once

#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/device.cuh"

namespace cameo::cuda {

constexpr int kAttentionTile = 64;  // keys

// What query rows see, common to all variants.
struct KeyRange {
  int first, last;  // of keys that any row of a block may see
};
struct RowView {
  int length, offset;  // keys of this sequence; a query's position is its index + offset
};

__device__ __forceinline__ RowView row_view(const AttentionArgs& a, int b) {
  int length = a.keys;
  if (a.key_lengths) length = min(max(a.key_lengths[b], 0), a.keys);
  return {min(length, a.bias_keys), a.from_end ? length - a.queries : a.past};
}
__device__ __forceinline__ KeyRange key_range(const AttentionArgs& a, const RowView& view, int first_row, int last_row) {
  KeyRange r{0, view.length};
  if (a.causal) r.last = min(r.last, last_row + view.offset + 1);
  if (a.window >= 0) r.first = max(0, first_row + view.offset - a.window);
  return r;
}
__device__ __forceinline__ bool sees(const AttentionArgs& a, const RowView& view, int row, int key) {
  const int p = row + view.offset;
  return key < view.length && (!a.causal || key <= p) && (a.window < 0 || key >= p - a.window);
}

__device__ __forceinline__ float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// An additive bias in units of log2; -infinity hides. Finite values stay finite.
__device__ __forceinline__ float to_log2(float bias) { return bias == -INFINITY ? bias : fmaxf(bias, -1e38f) * kLog2e; }
__device__ __forceinline__ float bias_at(const AttentionArgs& a, int64_t index) {
  switch (a.bias_type) {
    case BiasType::kFloat32:
      return to_log2(static_cast<const float*>(a.bias)[index]);
    case BiasType::kFloat16:
      return to_log2(__half2float(static_cast<const __half*>(a.bias)[index]));
    case BiasType::kBFloat16:
      return to_log2(__bfloat162float(static_cast<const __nv_bfloat16*>(a.bias)[index]));
    case BiasType::kBool:
      return static_cast<const uint8_t*>(a.bias)[index] ? 0.f : -INFINITY;
    default:
      return 0.f;
  }
}
__device__ __forceinline__ int64_t bias_row(const AttentionArgs& a, int b, int h, int row) {
  return b * a.bias_strides.batch + h * a.bias_strides.head + row * a.bias_strides.row;
}
// A product as a score in units of log2, before bias and masks.
__device__ __forceinline__ float score(const AttentionArgs& a, float product) {
  if (a.softcap == 0.f) return product * (a.scale * kLog2e);
  return a.softcap * kLog2e * tanhf(product * a.scale / a.softcap);
}

// 128 threads; a warp has MT tiles of 16 queries.
template <typename T, int HD, int MT, bool BIAS>
__global__ void __launch_bounds__(128) attention_mma(const __grid_constant__ AttentionArgs a) {
  constexpr int BM = 64 * MT, BN = kAttentionTile, LD = HD + 8, CHUNKS = HD / 8;
  extern __shared__ __align__(16) unsigned char shared[];
  T* sq = reinterpret_cast<T*>(shared);
  T* sk = sq + BM * LD;
  T* sv = sk + 2 * BN * LD;
  float* key_bias = reinterpret_cast<float*>(sv + 2 * BN * LD);

  launch_dependents();
  wait_for_predecessor();
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
  const int h = blockIdx.y, b = blockIdx.z, kv_head = h / (a.heads / a.kv_heads);
  const int block = a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x;  // the longest rows first
  const int row0 = block * BM;
  const RowView view = row_view(a, b);
  const KeyRange range = key_range(a, view, row0, min(row0 + BM, a.queries) - 1);
  const int tile_first = range.first / BN, tile_last = (range.last + BN - 1) / BN;

  const T* q = static_cast<const T*>(a.q) + b * a.q_strides.batch + h * a.q_strides.head;
  const T* k = static_cast<const T*>(a.k) + b * a.k_strides.batch + kv_head * a.k_strides.head;
  const T* v = static_cast<const T*>(a.v) + b * a.v_strides.batch + kv_head * a.v_strides.head;

  const auto load_tile = [&](int tile, int stage) {
    for (int c = tid; c < BN * CHUNKS; c += 128) {
      const int r = c / CHUNKS, col = c % CHUNKS * 8, key = tile * BN + r;
      const bool valid = key >= range.first && key < range.last;
      const int64_t row = valid ? key : 0;
      copy_async16(sk + (stage * BN + r) * LD + col, k + row * a.k_strides.row + col, valid);
      copy_async16(sv + (stage * BN + r) * LD + col, v + row * a.v_strides.row + col, valid);
    }
  };
  for (int c = tid; c < BM * CHUNKS; c += 128) {
    const int r = c / CHUNKS, col = c % CHUNKS * 8;
    const bool valid = row0 + r < a.queries;
    copy_async16(sq + r * LD + col, q + static_cast<int64_t>(valid ? row0 + r : 0) * a.q_strides.row + col, valid);
  }
  if (tile_first < tile_last) load_tile(tile_first, 0);

  const bool per_key = BIAS && a.bias_type != BiasType::kNone && a.bias_strides.row == 0;
  const bool per_element = BIAS && a.bias_type != BiasType::kNone && a.bias_strides.row != 0;
  const bool diagonal = BIAS && a.relative != nullptr;
  float* relative = key_bias + (per_key ? a.keys : 0);  // [j - (i - row0) + BM - 1]
  if constexpr (BIAS) {
    if (per_key)
      for (int j = range.first + tid; j < range.last; j += 128) key_bias[j] = bias_at(a, bias_row(a, b, h, 0) + j);
    if (diagonal) {
      const float* table = a.relative + static_cast<int64_t>(h) * a.relative_stride + a.relative_origin;
      const int rows = min(BM, a.queries - row0);
      for (int d = range.first - (BM - 1) + tid; d < range.last; d += 128)
        relative[d + BM - 1] = d > range.first - rows ? to_log2(table[d - row0]) : 0.f;
    }
  }

  float o[MT][HD / 8][4] = {}, s[MT][BN / 8][4], m[MT][2], l[MT][2];
  uint32_t qf[MT][HD / 16][4];
#pragma unroll
  for (int i = 0; i < MT; ++i) m[i][0] = m[i][1] = -INFINITY, l[i][0] = l[i][1] = 0.f;

  for (int tile = tile_first; tile < tile_last; ++tile) {
    const int stage = (tile - tile_first) & 1;
    copy_async_wait_all();
    __syncthreads();
    if (tile == tile_first) {
#pragma unroll
      for (int i = 0; i < MT; ++i)
#pragma unroll
        for (int kk = 0; kk < HD / 16; ++kk)
          ldmatrix4(qf[i][kk], sq + ((warp * MT + i) * 16 + (lane & 15)) * LD + kk * 16 + (lane >> 4) * 8);
    }
    if (tile + 1 < tile_last) load_tile(tile + 1, stage ^ 1);

    const T* kt = sk + stage * BN * LD;
    const T* vt = sv + stage * BN * LD;
#pragma unroll
    for (int i = 0; i < MT; ++i)
#pragma unroll
      for (int n = 0; n < BN / 8; ++n) s[i][n][0] = s[i][n][1] = s[i][n][2] = s[i][n][3] = 0.f;
#pragma unroll
    for (int kk = 0; kk < HD / 16; ++kk)
#pragma unroll
      for (int n = 0; n < BN / 16; ++n) {
        uint32_t f[4];
        ldmatrix4(f, kt + (n * 16 + (lane >> 4) * 8 + (lane & 7)) * LD + kk * 16 + ((lane >> 3) & 1) * 8);
#pragma unroll
        for (int i = 0; i < MT; ++i) {
          mma16816<T>(s[i][2 * n], qf[i][kk], f[0], f[1]);
          mma16816<T>(s[i][2 * n + 1], qf[i][kk], f[2], f[3]);
        }
      }

    const int key0 = tile * BN;
    const float scale = a.scale * kLog2e;
    // Biases of a tile that all its rows see. Along a diagonal a relative bias is the same: fragments 8 rows further down have
    // the values of the fragment 8 keys before.
    constexpr int DIAGONALS = BN / 8 + 2 * MT - 1;
    float along[BIAS ? DIAGONALS : 1][2];
    const bool tile_seen = key0 >= range.first && key0 + BN <= range.last && (!a.causal || key0 + BN - 1 <= row0 + view.offset) &&
                           (a.window < 0 || key0 >= row0 + BM - 1 + view.offset - a.window);
    const bool simple = tile_seen && a.softcap == 0.f && !per_element;
    if constexpr (BIAS) {
      if (simple) {
        const float* from = relative + key0 + 2 * t - warp * MT * 16 - g + BM - 1 - 8 * (2 * MT - 1);
#pragma unroll
        for (int d = 0; d < DIAGONALS; ++d) along[d][0] = diagonal ? from[8 * d] : 0.f, along[d][1] = diagonal ? from[8 * d + 1] : 0.f;
      }
    }
    // Products that need nothing added are scaled within the power of 2.
    const float late = !BIAS && simple && scale > 0.f ? scale : 1.f;
#pragma unroll
    for (int i = 0; i < MT; ++i) {
      const int warp_row = row0 + (warp * MT + i) * 16;
      const int row = warp_row + g;
      if (BIAS && simple) {
#pragma unroll
        for (int n = 0; n < BN / 8; ++n) {
          float2 kb{};
          if (per_key) kb = *reinterpret_cast<const float2*>(key_bias + key0 + n * 8 + 2 * t);
#pragma unroll
          for (int e = 0; e < 4; ++e)
            s[i][n][e] = s[i][n][e] * scale + ((e & 1 ? kb.y : kb.x) + along[BIAS ? n - (e >> 1) - 2 * i + 2 * MT - 1 : 0][e & 1]);
        }
      } else if (late == 1.f) {
#pragma unroll
        for (int n = 0; n < BN / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) s[i][n][e] = a.softcap == 0.f ? s[i][n][e] * scale : score(a, s[i][n][e]);
        if (!simple) {
          int from[2], to[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int r = row + e * 8;
            const KeyRange seen = key_range(a, view, r, r);
            from[e] = seen.first, to[e] = r < a.queries ? seen.last : 0;
          }
#pragma unroll
          for (int n = 0; n < BN / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int key = key0 + n * 8 + 2 * t + (e & 1), r = row + (e >> 1) * 8;
              if (key >= from[e >> 1] && key < to[e >> 1]) {
                if (BIAS) {
                  float add = 0.f;
                  if (per_key) add = key_bias[key];
                  if (per_element) add = bias_at(a, bias_row(a, b, h, r) + key);
                  if (diagonal) add += relative[key - (r - row0) + BM - 1];
                  s[i][n][e] += add;
                }
              } else {
                s[i][n][e] = -INFINITY;
              }
            }
        }
      }
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < BN / 8; ++n) largest = fmaxf(largest, fmaxf(s[i][n][2 * e], s[i][n][2 * e + 1]));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
        largest = fmaxf(m[i][e], fmaxf(largest, __shfl_xor_sync(~0u, largest, 2)) * late);
        const float base = largest == -INFINITY ? 0.f : largest;
        const float correction = power_of_2(m[i][e] - base);
        m[i][e] = largest;
        float sum = 0.f;
#pragma unroll
        for (int n = 0; n < BN / 8; ++n) {
          s[i][n][2 * e] = power_of_2(s[i][n][2 * e] * late - base);
          s[i][n][2 * e + 1] = power_of_2(s[i][n][2 * e + 1] * late - base);
          sum += s[i][n][2 * e] + s[i][n][2 * e + 1];
        }
        l[i][e] = l[i][e] * correction + sum;
#pragma unroll
        for (int n = 0; n < HD / 8; ++n) o[i][n][2 * e] *= correction, o[i][n][2 * e + 1] *= correction;
      }
    }

#pragma unroll
    for (int kk = 0; kk < BN / 16; ++kk) {
      uint32_t pf[MT][4];
#pragma unroll
      for (int i = 0; i < MT; ++i) {
        pf[i][0] = pack2<T>(s[i][2 * kk][0], s[i][2 * kk][1]);
        pf[i][1] = pack2<T>(s[i][2 * kk][2], s[i][2 * kk][3]);
        pf[i][2] = pack2<T>(s[i][2 * kk + 1][0], s[i][2 * kk + 1][1]);
        pf[i][3] = pack2<T>(s[i][2 * kk + 1][2], s[i][2 * kk + 1][3]);
      }
#pragma unroll
      for (int n = 0; n < HD / 16; ++n) {
        uint32_t f[4];
        ldmatrix4_transposed(f, vt + (kk * 16 + ((lane >> 3) & 1) * 8 + (lane & 7)) * LD + n * 16 + (lane >> 4) * 8);
#pragma unroll
        for (int i = 0; i < MT; ++i) {
          mma16816<T>(o[i][2 * n], pf[i], f[0], f[1]);
          mma16816<T>(o[i][2 * n + 1], pf[i], f[2], f[3]);
        }
      }
    }
  }
  copy_async_wait_all();
  __syncthreads();  // no keys: the copies of the queries end before their place is written

  // Through the queries' place in shared memory, so that rows leave in pieces of 16 bytes; a warp only uses its own rows.
#pragma unroll
  for (int i = 0; i < MT; ++i)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float sum = l[i][e];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const float inverse = sum > 0.f ? 1.f / sum : (sum == 0.f ? 0.f : sum);
      T* row = sq + ((warp * MT + i) * 16 + g + e * 8) * LD;
#pragma unroll
      for (int n = 0; n < HD / 8; ++n)
        *reinterpret_cast<uint32_t*>(row + n * 8 + 2 * t) = pack2<T>(o[i][n][2 * e] * inverse, o[i][n][2 * e + 1] * inverse);
    }
  __syncwarp();
  T* out = static_cast<T*>(a.out) + b * a.out_strides.batch + h * a.out_strides.head;
  for (int c = lane; c < 16 * MT * CHUNKS; c += 32) {
    const int r = warp * 16 * MT + c / CHUNKS, col = c % CHUNKS * 8;
    if (row0 + r < a.queries)
      *reinterpret_cast<uint4*>(out + (row0 + r) * a.out_strides.row + col) = *reinterpret_cast<const uint4*>(sq + r * LD + col);
  }
}

}  // namespace cameo::cuda
