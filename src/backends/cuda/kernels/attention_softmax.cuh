// What all variants on the tensor cores share: which keys a query sees, biases, and the softmax of a tile.
#pragma once

#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/float8.cuh"

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

// Eight numbers of the result, from element `at` on.
template <typename T>
__device__ __forceinline__ void write_result(const AttentionArgs& a, int64_t at, uint4 v) {
  if (a.out) *reinterpret_cast<uint4*>(static_cast<T*>(a.out) + at) = v;
  if (!a.rounded) return;
  const auto round4 = [&](uint32_t low, uint32_t high) {
    const float2 l = unpack2<T>(low), h = unpack2<T>(high);
    return pack_float8(l.x * a.rounded_factor, l.y * a.rounded_factor) | pack_float8(h.x * a.rounded_factor, h.y * a.rounded_factor) << 16;
  };
  *reinterpret_cast<uint2*>(static_cast<uint8_t*>(a.rounded) + at) = uint2{round4(v.x, v.y), round4(v.z, v.w)};
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
// At so many indices, which must all be there: read at once.
template <int N>
__device__ __forceinline__ void biases_at(const AttentionArgs& a, const int64_t (&index)[N], float (&bias)[N]) {
  const auto each = [&](auto load) {
#pragma unroll
    for (int i = 0; i < N; ++i) bias[i] = load(index[i]);
  };
  switch (a.bias_type) {
    case BiasType::kFloat32:
      return each([&](int64_t i) { return to_log2(static_cast<const float*>(a.bias)[i]); });
    case BiasType::kFloat16:
      return each([&](int64_t i) { return to_log2(__half2float(static_cast<const __half*>(a.bias)[i])); });
    case BiasType::kBFloat16:
      return each([&](int64_t i) { return to_log2(__bfloat162float(static_cast<const __nv_bfloat16*>(a.bias)[i])); });
    case BiasType::kBool:
      return each([&](int64_t i) { return static_cast<const uint8_t*>(a.bias)[i] ? 0.f : -INFINITY; });
    default:
      return each([&](int64_t) { return 0.f; });
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

// Biases in shared memory: those that are the same for all queries, then those that are the same along diagonals.
struct StagedBiases {
  bool per_key, per_element, diagonal;
  float* keys;      // [j]
  float* relative;  // [j - (i - row0) + rows - 1]
};
// Of a block of THREADS threads with ROWS queries from row0 on. A relative bias is constant, and is read while the kernel before
// may still run where nothing of that says which keys are seen.
template <int THREADS, int ROWS, bool BIAS>
__device__ __forceinline__ StagedBiases stage_relative(const AttentionArgs& a, const KeyRange& range, int h, int row0, float* shared) {
  StagedBiases s{};
  s.per_key = BIAS && a.bias_type != BiasType::kNone && a.bias_strides.row == 0;
  s.per_element = BIAS && a.bias_type != BiasType::kNone && a.bias_strides.row != 0;
  s.diagonal = BIAS && a.relative != nullptr;
  s.keys = shared;
  s.relative = shared + (s.per_key ? a.keys : 0);
  if (s.diagonal) {
    const float* table = a.relative + static_cast<int64_t>(h) * a.relative_stride + a.relative_origin;
    const int rows = min(ROWS, a.queries - row0);
    for (int d = range.first - (ROWS - 1) + static_cast<int>(threadIdx.x); d < range.last; d += THREADS)
      s.relative[d + ROWS - 1] = d > range.first - rows ? to_log2(table[d - row0]) : 0.f;
  }
  return s;
}
template <int THREADS>
__device__ __forceinline__ void stage_masks(const AttentionArgs& a, const KeyRange& range, int b, int h, const StagedBiases& s) {
  if (!s.per_key) return;
  for (int j = range.first + static_cast<int>(threadIdx.x); j < range.last; j += THREADS) s.keys[j] = bias_at(a, bias_row(a, b, h, 0) + j);
}

// Products s of a warp's MT tiles of 16 queries with BN keys become powers of 2 of scores less the largest so far, m; sums l and
// results o are corrected. Fragments as mma.m16n8k16 has them; the warp's queries begin at row0 + warp * MT * 16.
template <int MT, int BN, int BM, int PIECES, bool BIAS>
__device__ __forceinline__ void softmax_tile(const AttentionArgs& a, const RowView& view, const KeyRange& range, const StagedBiases& bias,
                                             int b, int h, int row0, int warp, int key0, float (&s)[MT][BN / 8][4],
                                             float (&o)[MT][PIECES][4], float (&m)[MT][2], float (&l)[MT][2]) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const bool per_key = bias.per_key, per_element = bias.per_element, diagonal = bias.diagonal;
  const float *key_bias = bias.keys, *relative = bias.relative;
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
        int64_t rows[2] = {};
        if (BIAS && per_element)
#pragma unroll
          for (int e = 0; e < 2; ++e) rows[e] = bias_row(a, b, h, min(row + e * 8, a.queries - 1));
        constexpr int GROUP = MT == 1 && PIECES <= 4 ? 8 : 2;  // fragments whose biases are on their way at once
#pragma unroll
        for (int n0 = 0; n0 < BN / 8; n0 += GROUP) {
          float element[BIAS ? 4 * GROUP : 1] = {};
          if constexpr (BIAS)
            if (per_element) {
              int64_t index[4 * GROUP];
#pragma unroll
              for (int k = 0; k < 4 * GROUP; ++k)
                index[k] = rows[k >> 1 & 1] + min(key0 + (n0 + k / 4) * 8 + 2 * t + (k & 1), range.last - 1);
              biases_at(a, index, element);
            }
#pragma unroll
          for (int k = 0; k < 4 * GROUP; ++k) {
            const int n = n0 + k / 4, e = k & 3;
            const int key = key0 + n * 8 + 2 * t + (e & 1), r = row + (e >> 1) * 8;
            if (key >= from[e >> 1] && key < to[e >> 1]) {
              if (BIAS) {
                float add = element[BIAS ? k : 0];
                if (per_key) add = key_bias[key];
                if (diagonal) add += relative[key - (r - row0) + BM - 1];
                s[i][n][e] += add;
              }
            } else {
              s[i][n][e] = -INFINITY;
            }
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
      for (int n = 0; n < PIECES; ++n) o[i][n][2 * e] *= correction, o[i][n][2 * e + 1] *= correction;
    }
  }
}

}  // namespace cameo::cuda
