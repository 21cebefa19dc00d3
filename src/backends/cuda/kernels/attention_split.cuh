// The variant of attention.cu for short sequences in few blocks: see there.
#pragma once

#include "backends/cuda/kernels/attention_softmax.cuh"
#include "backends/cuda/kernels/barrier.cuh"
#include "backends/cuda/kernels/launch.h"

namespace cameo::cuda {

constexpr int kSplitQueries = 16, kSplitWarps = 4;

// Bytes of shared memory with KW keys a warp: keys, values, results and what the warps know of each row.
constexpr int attention_split_shared(int size, int kw) {
  return kSplitWarps * (2 * kw * (size + 8) * 2 + kSplitQueries * ((size + 8) * 4 + 8));
}

// 128 threads and 16 queries a block. Each warp has KW keys of its own, which it alone waits for; what the warps found is put together at
// the end.
template <typename T, int HD, int KW>
__global__ void __launch_bounds__(128, 2) attention_split(const __grid_constant__ AttentionArgs a) {
  constexpr int LD = HD + 8, CHUNKS = HD / 8;
  extern __shared__ __align__(16) unsigned char shared[];
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
  T* const sk = reinterpret_cast<T*>(shared) + warp * 2 * KW * LD;
  T* const sv = sk + KW * LD;
  float* const results = reinterpret_cast<float*>(shared + kSplitWarps * 2 * KW * LD * 2);     // [warp][row][LD]
  float2* const rows = reinterpret_cast<float2*>(results + kSplitWarps * kSplitQueries * LD);  // [warp][row]: largest score, sum

  if (a.key_lengths) wait_for_predecessor();
  const int h = blockIdx.y, b = blockIdx.z, kv_head = h / (a.heads / a.kv_heads), row0 = blockIdx.x * kSplitQueries, key0 = warp * KW;
  const RowView view = row_view(a, b);
  // What is added to scores.
  float add[KW / 8][4];
#pragma unroll
  for (int n = 0; n < KW / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int key = key0 + n * 8 + 2 * t + (e & 1), row = row0 + g + (e >> 1) * 8;
      add[n][e] = row < a.queries && sees(a, view, row, key) ? 0.f : -INFINITY;
      if (a.relative && add[n][e] == 0.f)
        add[n][e] = to_log2(a.relative[static_cast<int64_t>(h) * a.relative_stride + a.relative_origin + key - row]);
    }
  wait_for_predecessor();
  launch_dependents();  // not sooner: blocks that wait for two kernels slow both down

  const T* k = static_cast<const T*>(a.k) + b * a.k_strides.batch + kv_head * a.k_strides.head;
  const T* v = static_cast<const T*>(a.v) + b * a.v_strides.batch + kv_head * a.v_strides.head;
  const auto load = [&](T* to, const T* from, int64_t stride) {
#pragma unroll
    for (int i = 0; i < KW * CHUNKS / 32; ++i) {
      const int r = (i * 32 + lane) / CHUNKS, col = lane % CHUNKS * 8;
      const bool valid = key0 + r < view.length;
      copy_async16(to + r * LD + col, from + (valid ? key0 + r : 0) * stride + col, valid);
    }
    copy_async_commit();
  };
  load(sk, k, a.k_strides.row);
  load(sv, v, a.v_strides.row);
  uint32_t qf[HD / 16][4];
  const T* q = static_cast<const T*>(a.q) + b * a.q_strides.batch + h * a.q_strides.head;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = row0 + g + i * 8;
    const T* from = q + static_cast<int64_t>(row < a.queries ? row : 0) * a.q_strides.row + 2 * t;
#pragma unroll
    for (int kk = 0; kk < HD / 16; ++kk) {
      qf[kk][i] = *reinterpret_cast<const uint32_t*>(from + kk * 16);
      qf[kk][i + 2] = *reinterpret_cast<const uint32_t*>(from + kk * 16 + 8);
    }
  }
  if (a.bias_type != BiasType::kNone && view.length > 0) {
    const bool per_key = a.bias_strides.row == 0;
    int64_t index[KW / 2];
    float bias[KW / 2];
#pragma unroll
    for (int i = 0; i < KW / 2; ++i) {
      const int key = key0 + i / 4 * 8 + 2 * t + (i & 1), row = row0 + g + (i >> 1 & 1) * 8;
      index[i] = bias_row(a, b, h, per_key ? 0 : min(row, a.queries - 1)) + min(key, view.length - 1);
    }
    biases_at(a, index, bias);
#pragma unroll
    for (int i = 0; i < KW / 2; ++i)
      if (add[i / 4][i & 3] != -INFINITY) add[i / 4][i & 3] += bias[i];
  }

  float s[KW / 8][4] = {}, o[HD / 8][4] = {};
  copy_async_wait<1>();
  __syncwarp();
#pragma unroll
  for (int kk = 0; kk < HD / 16; ++kk)
#pragma unroll
    for (int n = 0; n < KW / 16; ++n) {
      uint32_t f[4];
      ldmatrix4(f, sk + (n * 16 + (lane >> 4) * 8 + (lane & 7)) * LD + kk * 16 + ((lane >> 3) & 1) * 8);
      mma16816<T>(s[2 * n], qf[kk], f[0], f[1]);
      mma16816<T>(s[2 * n + 1], qf[kk], f[2], f[3]);
    }
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    float largest = -INFINITY, sum = 0.f;
#pragma unroll
    for (int n = 0; n < KW / 8; ++n)
#pragma unroll
      for (int i = 2 * e; i < 2 * e + 2; ++i) {
        s[n][i] = add[n][i] == -INFINITY ? -INFINITY : score(a, s[n][i]) + add[n][i];
        largest = fmaxf(largest, s[n][i]);
      }
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
    const float base = largest == -INFINITY ? 0.f : largest;
#pragma unroll
    for (int n = 0; n < KW / 8; ++n)
#pragma unroll
      for (int i = 2 * e; i < 2 * e + 2; ++i) s[n][i] = power_of_2(s[n][i] - base), sum += s[n][i];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    if (t == 0) rows[warp * kSplitQueries + g + e * 8] = make_float2(largest, sum);
  }
  copy_async_wait<0>();
  __syncwarp();
#pragma unroll
  for (int kk = 0; kk < KW / 16; ++kk) {
    const uint32_t pf[4] = {pack2<T>(s[2 * kk][0], s[2 * kk][1]), pack2<T>(s[2 * kk][2], s[2 * kk][3]),
                            pack2<T>(s[2 * kk + 1][0], s[2 * kk + 1][1]), pack2<T>(s[2 * kk + 1][2], s[2 * kk + 1][3])};
#pragma unroll
    for (int n = 0; n < HD / 16; ++n) {
      uint32_t f[4];
      ldmatrix4_transposed(f, sv + (kk * 16 + ((lane >> 3) & 1) * 8 + (lane & 7)) * LD + n * 16 + (lane >> 4) * 8);
      mma16816<T>(o[2 * n], pf, f[0], f[1]);
      mma16816<T>(o[2 * n + 1], pf, f[2], f[3]);
    }
  }
#pragma unroll
  for (int n = 0; n < HD / 8; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e)
      *reinterpret_cast<float2*>(results + (warp * kSplitQueries + g + e * 8) * LD + n * 8 + 2 * t) =
          make_float2(o[n][2 * e], o[n][2 * e + 1]);
  __syncthreads();

  const int64_t out = b * a.out_strides.batch + h * a.out_strides.head;
  for (int c = tid; c < kSplitQueries * CHUNKS; c += 128) {
    const int r = c / CHUNKS, col = c % CHUNKS * 8;
    if (row0 + r >= a.queries) continue;
    float2 known[kSplitWarps];
    float largest = -INFINITY, sum = 0.f, total[8] = {};
#pragma unroll
    for (int w = 0; w < kSplitWarps; ++w) known[w] = rows[w * kSplitQueries + r], largest = fmaxf(largest, known[w].x);
    if (largest == -INFINITY) largest = 0.f;
#pragma unroll
    for (int w = 0; w < kSplitWarps; ++w) {
      const float by = power_of_2(known[w].x - largest);
      sum += known[w].y * by;
      const float4* from = reinterpret_cast<const float4*>(results + (w * kSplitQueries + r) * LD + col);
      const float4 low = from[0], high = from[1];
      total[0] += by * low.x, total[1] += by * low.y, total[2] += by * low.z, total[3] += by * low.w;
      total[4] += by * high.x, total[5] += by * high.y, total[6] += by * high.z, total[7] += by * high.w;
    }
    const float inverse = sum > 0.f ? 1.f / sum : (sum == 0.f ? 0.f : sum);
#pragma unroll
    for (int e = 0; e < 8; ++e) total[e] *= inverse;
    write_result<T>(a, out + (row0 + r) * a.out_strides.row + col, pack16<T>(total));
  }
}

template <typename T, int HD, int KW>
cudaError_t run_attention_split(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3((a.queries + kSplitQueries - 1) / kSplitQueries, a.heads, a.batch),
                          .block = dim3(128),
                          .shared = static_cast<size_t>(attention_split_shared(HD, KW)),
                          .dependent = device.capability >= 90};
  return launch(attention_split<T, HD, KW>, shape, stream, a);
}

// Whether it was done so; the error of the launch is in `e`.
template <typename T>
bool try_attention_split(const AttentionArgs& a, const DeviceTraits& device, cudaStream_t stream, cudaError_t& e) {
  if ((a.size != 32 && a.size != 64) || a.queries > 128 || a.keys > kSplitWarps * 32) return false;
  const int64_t blocks = int64_t{(a.queries + kSplitQueries - 1) / kSplitQueries} * a.heads * a.batch;
  if (blocks > device.multiprocessors) return false;
  if (a.keys <= kSplitWarps * 16)
    e = a.size == 32 ? run_attention_split<T, 32, 16>(a, device, stream) : run_attention_split<T, 64, 16>(a, device, stream);
  else
    e = a.size == 32 ? run_attention_split<T, 32, 32>(a, device, stream) : run_attention_split<T, 64, 32>(a, device, stream);
  return true;
}

}  // namespace cameo::cuda
