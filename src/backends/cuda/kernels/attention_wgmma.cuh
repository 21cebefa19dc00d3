// The variant of attention.cu for Hopper, heads of 64: see there.
#pragma once

#include "backends/cuda/kernels/attention_softmax.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace cameo::cuda {

constexpr int kWgmmaQueries = 128, kWgmmaStages = 3;  // queries of a block; tiles of keys and values in shared memory
constexpr int kWgmmaTileBytes = kAttentionTile * 128;

// 256 threads, two warpgroups of 64 queries each. While one computes its softmax, the others of the multiprocessor have the tensor
// cores.
template <typename T, bool BIAS>
__global__ void __launch_bounds__(CAMEO_WGMMA_THREADS(256), 2) attention_wgmma(const __grid_constant__ AttentionArgs a) {
  constexpr int BM = kWgmmaQueries, BN = kAttentionTile;
  extern __shared__ __align__(16) unsigned char memory[];
  unsigned char* shared = memory + (1024 - (shared_address(memory) & 1023)) % 1024;
  const uint32_t sq = shared_address(shared), sk = sq + BM * 128, sv = sk + kWgmmaStages * kWgmmaTileBytes;
  float* staged = reinterpret_cast<float*>(shared + BM * 128 + 2 * kWgmmaStages * kWgmmaTileBytes);

  launch_dependents();
  if (a.key_lengths) wait_for_predecessor();
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, group = warp >> 2;
  const int h = blockIdx.y, b = blockIdx.z, kv_head = h / (a.heads / a.kv_heads);
  const int block = a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x;  // the longest rows first
  const int row0 = block * BM;
  const RowView view = row_view(a, b);
  const KeyRange range = key_range(a, view, row0, min(row0 + BM, a.queries) - 1);
  const int tile_first = range.first / BN, tiles = max(0, (range.last + BN - 1) / BN - tile_first);

  const StagedBiases biases = stage_relative<256, BM, BIAS>(a, range, h, row0, staged);
  wait_for_predecessor();

  const T* q = static_cast<const T*>(a.q) + b * a.q_strides.batch + h * a.q_strides.head;
  const T* k = static_cast<const T*>(a.k) + b * a.k_strides.batch + kv_head * a.k_strides.head;
  const T* v = static_cast<const T*>(a.v) + b * a.v_strides.batch + kv_head * a.v_strides.head;

  const int row = tid >> 3, piece = tid & 7;
  const uint32_t place = row * 128 + ((piece ^ (row & 7)) << 4);  // of rows row + 32 i too
  const auto load = [&](uint32_t to, const T* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
#endif
  };
  const auto load_tile = [&](int t) {
    if (t >= tiles) return;
    const uint32_t stage = (t % kWgmmaStages) * kWgmmaTileBytes;
#pragma unroll
    for (int i = 0; i < BN / 32; ++i) {
      const int key = (tile_first + t) * BN + row + 32 * i;
      const bool valid = key >= range.first && key < range.last;
      const int64_t at = valid ? key : 0;
      load(sk + stage + place + i * 32 * 128, k + at * a.k_strides.row + piece * 8, valid);
      load(sv + stage + place + i * 32 * 128, v + at * a.v_strides.row + piece * 8, valid);
    }
  };
  const auto commit = [] {
#if __CUDA_ARCH__ >= 800
    copy_async_commit();
#endif
  };
#pragma unroll
  for (int i = 0; i < BM / 32; ++i) {
    const int r = row0 + row + 32 * i;
    const bool valid = r < a.queries;
    load(sq + place + i * 32 * 128, q + static_cast<int64_t>(valid ? r : 0) * a.q_strides.row + piece * 8, valid);
  }
  load_tile(0);
  commit();
  load_tile(1);
  commit();
  if constexpr (BIAS) stage_masks<256>(a, range, b, h, biases);

  float o[1][8][4] = {}, s[1][8][4], m[1][2] = {{-INFINITY, -INFINITY}}, l[1][2] = {};
  uint32_t p[4][4];
  const uint64_t q_tile = wgmma_tile(sq + group * 64 * 128);
  for (int t = 0; t < tiles; ++t) {
#if __CUDA_ARCH__ >= 800
    copy_async_wait<1>();
#endif
    fence_for_wgmma();
    __syncthreads();
    const uint32_t stage = (t % kWgmmaStages) * kWgmmaTileBytes;
    const uint64_t k_tile = wgmma_tile(sk + stage), v_tile = wgmma_tile(sv + stage);
    wgmma_begin();
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) wgmma64<T>(s[0], q_tile + 2 * kk, k_tile + 2 * kk, kk > 0);  // 32 bytes further along the rows
    wgmma_commit();
    load_tile(t + 2);  // where tile t - 1 was, which both groups are done with
    commit();
    wgmma_wait<0>();
    softmax_tile<1, BN, BM, 8, BIAS>(a, view, range, biases, b, h, row0, warp, (tile_first + t) * BN, s, o, m, l);
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) {
      p[kk][0] = pack2<T>(s[0][2 * kk][0], s[0][2 * kk][1]);
      p[kk][1] = pack2<T>(s[0][2 * kk][2], s[0][2 * kk][3]);
      p[kk][2] = pack2<T>(s[0][2 * kk + 1][0], s[0][2 * kk + 1][1]);
      p[kk][3] = pack2<T>(s[0][2 * kk + 1][2], s[0][2 * kk + 1][3]);
    }
    wgmma_begin();
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) wgmma64_turned<T>(o[0], p[kk], v_tile + 128 * kk);  // 16 rows further
    wgmma_commit();
    wgmma_wait<0>();
  }
  copy_async_wait_all();
  __syncthreads();

  // Through the queries' place in shared memory, so that rows leave in pieces of 16 bytes; a warp only uses its own rows.
  T* held = reinterpret_cast<T*>(shared);
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    float sum = l[0][e];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum > 0.f ? 1.f / sum : (sum == 0.f ? 0.f : sum);
    const int r = warp * 16 + (lane >> 2) + e * 8;
#pragma unroll
    for (int n = 0; n < 8; ++n)
      *reinterpret_cast<uint32_t*>(held + r * 64 + ((n ^ (r & 7)) << 3) + 2 * (lane & 3)) =
          pack2<T>(o[0][n][2 * e] * inverse, o[0][n][2 * e + 1] * inverse);
  }
  __syncwarp();
  const int64_t out = b * a.out_strides.batch + h * a.out_strides.head;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int r = warp * 16 + i * 4 + (lane >> 3), c = lane & 7;
    if (row0 + r < a.queries)
      write_result<T>(a, out + (row0 + r) * a.out_strides.row + c * 8,
                      *reinterpret_cast<const uint4*>(held + r * 64 + ((c ^ (r & 7)) << 3)));
  }
}

}  // namespace cameo::cuda
