// The exact float32 variant of attention.cu: see there.
#pragma once

#include "backends/cuda/kernels/attention_mma.cuh"

namespace cameo::cuda {

constexpr int attention_f32_shared(int hd) { return (2 * hd * 68 + 64 * (hd + 4) + 64 * 68) * 4; }

// 256 threads: 16 x 16, each 4 queries x 4 keys of the products and 4 queries x HD / 16 of the sums.
template <int HD>
__global__ void __launch_bounds__(256) attention_f32(const __grid_constant__ AttentionArgs a) {
  constexpr int LD = 68, LV = HD + 4, CHUNKS = HD / 4, COLS = HD / 16;
  extern __shared__ __align__(16) float shared_f32[];
  float* qt = shared_f32;    // [HD][LD], transposed
  float* kt = qt + HD * LD;  // [HD][LD]
  float* vs = kt + HD * LD;  // [64][LV]
  float* ps = vs + 64 * LV;  // [key][LD]: transposed weights
  const int tid = threadIdx.x, tx = tid & 15, ty = tid >> 4;
  const int h = blockIdx.y, b = blockIdx.z, kv_head = h / (a.heads / a.kv_heads);
  const int row0 = (a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x) * 64;
  const RowView view = row_view(a, b);
  const KeyRange range = key_range(a, view, row0, min(row0 + 64, a.queries) - 1);
  const float* q = static_cast<const float*>(a.q) + b * a.q_strides.batch + h * a.q_strides.head;
  const float* k = static_cast<const float*>(a.k) + b * a.k_strides.batch + kv_head * a.k_strides.head;
  const float* v = static_cast<const float*>(a.v) + b * a.v_strides.batch + kv_head * a.v_strides.head;

  for (int c = tid; c < 64 * CHUNKS; c += 256) {
    const int r = c % 64, col = c / 64 * 4;
    float4 x{};
    if (row0 + r < a.queries) x = *reinterpret_cast<const float4*>(q + (row0 + r) * a.q_strides.row + col);
    qt[col * LD + r] = x.x, qt[(col + 1) * LD + r] = x.y, qt[(col + 2) * LD + r] = x.z, qt[(col + 3) * LD + r] = x.w;
  }
  float o[4][COLS] = {}, m[4], l[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) m[i] = -INFINITY;

  for (int key0 = range.first / 64 * 64; key0 < range.last; key0 += 64) {
    __syncthreads();
    for (int c = tid; c < 64 * CHUNKS; c += 256) {
      const int r = c % 64, col = c / 64 * 4, key = key0 + r;
      float4 x{}, y{};
      if (key >= range.first && key < range.last) {
        x = *reinterpret_cast<const float4*>(k + key * a.k_strides.row + col);
        y = *reinterpret_cast<const float4*>(v + key * a.v_strides.row + col);
      }
      kt[col * LD + r] = x.x, kt[(col + 1) * LD + r] = x.y, kt[(col + 2) * LD + r] = x.z, kt[(col + 3) * LD + r] = x.w;
      *reinterpret_cast<float4*>(vs + r * LV + col) = y;
    }
    __syncthreads();
    float s[4][4] = {};
#pragma unroll 8
    for (int d = 0; d < HD; ++d) {
      const float4 x = *reinterpret_cast<const float4*>(qt + d * LD + ty * 4), y = *reinterpret_cast<const float4*>(kt + d * LD + tx * 4);
      const float xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) s[i][j] += xs[i] * ys[j];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = row0 + ty * 4 + i;
      float largest = m[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = key0 + tx * 4 + j;
        if (row < a.queries && sees(a, view, row, key)) {
          s[i][j] = score(a, s[i][j]);
          if (a.bias_type != BiasType::kNone) s[i][j] += bias_at(a, bias_row(a, b, h, row) + key);
          if (a.relative) s[i][j] += to_log2(a.relative[static_cast<int64_t>(h) * a.relative_stride + a.relative_origin + key - row]);
        } else {
          s[i][j] = -INFINITY;
        }
        largest = fmaxf(largest, s[i][j]);
      }
#pragma unroll
      for (int x = 8; x > 0; x >>= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, x));
      const float base = largest == -INFINITY ? 0.f : largest, correction = exp2f(m[i] - base);
      m[i] = largest;
      l[i] *= correction;
#pragma unroll
      for (int c = 0; c < COLS; ++c) o[i][c] *= correction;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float p = exp2f(s[i][j] - base);
        l[i] += p;
        ps[(tx * 4 + j) * LD + ty * 4 + i] = p;
      }
    }
    __syncwarp();  // a warp's threads share ty only with each other: its rows of weights are its own
    const int count = min(64, range.last - key0);
    for (int j = 0; j < count; ++j) {
      const float4 x = *reinterpret_cast<const float4*>(ps + j * LD + ty * 4);
#pragma unroll
      for (int c = 0; c < COLS; ++c) {
        const float y = vs[j * LV + c * 16 + tx];
        o[0][c] += x.x * y, o[1][c] += x.y * y, o[2][c] += x.z * y, o[3][c] += x.w * y;
      }
    }
  }
  float* out = static_cast<float*>(a.out) + b * a.out_strides.batch + h * a.out_strides.head;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float sum = l[i];
#pragma unroll
    for (int x = 8; x > 0; x >>= 1) sum += __shfl_xor_sync(~0u, sum, x);
    const int row = row0 + ty * 4 + i;
    if (row >= a.queries) continue;
#pragma unroll
    for (int c = 0; c < COLS; ++c) out[row * a.out_strides.row + c * 16 + tx] = sum == 0.f ? 0.f : o[i][c] / sum;
  }
}

}  // namespace cameo::cuda
