// The tensor core variant of attention.cu: see there.
#pragma once

#include "backends/cuda/kernels/attention_softmax.cuh"

namespace cameo::cuda {

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
  if (a.key_lengths) wait_for_predecessor();
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
  const int h = blockIdx.y, b = blockIdx.z, kv_head = h / (a.heads / a.kv_heads);
  const int block = a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x;  // the longest rows first
  const int row0 = block * BM;
  const RowView view = row_view(a, b);
  const KeyRange range = key_range(a, view, row0, min(row0 + BM, a.queries) - 1);
  const int tile_first = range.first / BN, tile_last = (range.last + BN - 1) / BN;

  const StagedBiases biases = stage_relative<128, BM, BIAS>(a, range, h, row0, key_bias);
  wait_for_predecessor();

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

  if constexpr (BIAS) stage_masks<128>(a, range, b, h, biases);

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

    softmax_tile<MT, BN, BM, HD / 8, BIAS>(a, view, range, biases, b, h, row0, warp, tile * BN, s, o, m, l);

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
  const int64_t out = b * a.out_strides.batch + h * a.out_strides.head;
  for (int c = lane; c < 16 * MT * CHUNKS; c += 32) {
    const int r = warp * 16 * MT + c / CHUNKS, col = c % CHUNKS * 8;
    if (row0 + r < a.queries)
      write_result<T>(a, out + (row0 + r) * a.out_strides.row + col, *reinterpret_cast<const uint4*>(sq + r * LD + col));
  }
}

}  // namespace cameo::cuda
