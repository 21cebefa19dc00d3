// The variant of attention.cu for few queries: see there.
#pragma once

#include "backends/cuda/kernels/attention_mma.cuh"

namespace cameo::cuda {

constexpr int kFewWarps = 8;
constexpr int kFewRows = 8;  // queries that share keys, at most

// How a warp's lanes divide keys and values of heads of HD elements: LANES lanes hold a key, CHUNKS times 16 bytes each.
template <typename T, int HD>
struct FewLayout {
  static constexpr int kPieces = HD * sizeof(T) / 16;
  static constexpr int kLanes = kPieces <= 4 ? 4 : kPieces <= 8 ? 8 : kPieces <= 12 ? 8 : 16;
  static constexpr int kChunks = (kPieces + kLanes - 1) / kLanes;
  static constexpr int kVector = 16 / sizeof(T);
  static constexpr int kGroups = 32 / kLanes;  // keys of a warp at a time
};

// Rows r = 0..R-1 of a block are (query r / group, head kv_head * group + r % group). Blocks of a cluster share the keys.
// Shared memory: per warp R x (HD + 2) floats, and as much for the block's sum.
template <typename T, int HD, int R>
__global__ void __launch_bounds__(32 * kFewWarps) attention_few(const __grid_constant__ AttentionArgs a, int splits) {
  using L = FewLayout<T, HD>;
  constexpr int LD = HD + 2;
  __shared__ float part[(kFewWarps + 1) * R * LD];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, sub = lane % L::kLanes, which = lane / L::kLanes;
  const int group = a.heads / a.kv_heads, rows = group * a.queries;
  const int split = splits > 1 ? cluster_rank() : 0;
  const int unit = blockIdx.x / splits, b = unit / a.kv_heads, kv_head = unit % a.kv_heads;
  const RowView view = row_view(a, b);
  const KeyRange range = key_range(a, view, 0, a.queries - 1);

  float q[R][L::kChunks * L::kVector], o[R][L::kChunks * L::kVector] = {}, m[R], l[R];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    m[r] = -INFINITY, l[r] = 0.f;
    const int row = min(r, rows - 1);
    const T* from = static_cast<const T*>(a.q) + b * a.q_strides.batch + (kv_head * group + row % group) * a.q_strides.head +
                    (row / group) * a.q_strides.row;
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c) {
      const int piece = sub + c * L::kLanes;
      const uint4 v = piece < L::kPieces ? *reinterpret_cast<const uint4*>(from + piece * L::kVector) : uint4{};
      unpack16<T>(v, q[r] + c * L::kVector);
    }
  }
  const T* k = static_cast<const T*>(a.k) + b * a.k_strides.batch + kv_head * a.k_strides.head;
  const T* v = static_cast<const T*>(a.v) + b * a.v_strides.batch + kv_head * a.v_strides.head;

  constexpr int UNROLL = R * L::kChunks >= 8 ? 1 : R >= 4 ? 2 : 4;
  const int count = max(range.last - range.first, 0), share = (count + splits - 1) / splits;
  const int first = range.first + split * share, last = min(first + share, range.last);
  for (int j0 = first + warp * L::kGroups * UNROLL; j0 < last; j0 += kFewWarps * L::kGroups * UNROLL) {
    uint4 kp[UNROLL][L::kChunks], vp[UNROLL][L::kChunks];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u)
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        const int key = j0 + u * L::kGroups + which, piece = sub + c * L::kLanes;
        const bool valid = key < last && piece < L::kPieces;
        kp[u][c] = valid ? *reinterpret_cast<const uint4*>(k + key * a.k_strides.row + piece * L::kVector) : uint4{};
        vp[u][c] = valid ? *reinterpret_cast<const uint4*>(v + key * a.v_strides.row + piece * L::kVector) : uint4{};
      }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float s[UNROLL], largest = m[r];
#pragma unroll
      for (int u = 0; u < UNROLL; ++u) {
        float sum = 0.f;
#pragma unroll
        for (int c = 0; c < L::kChunks; ++c) {
          float f[L::kVector];
          unpack16<T>(kp[u][c], f);
#pragma unroll
          for (int e = 0; e < L::kVector; ++e) sum += q[r][c * L::kVector + e] * f[e];
        }
#pragma unroll
        for (int i = L::kLanes / 2; i > 0; i >>= 1) sum += __shfl_xor_sync(~0u, sum, i);
        const int key = j0 + u * L::kGroups + which, query = r / group;
        s[u] = -INFINITY;
        if (r < rows && key < last && sees(a, view, query, key)) {
          const int h = kv_head * group + r % group;
          s[u] = score(a, sum);
          if (a.bias_type != BiasType::kNone) s[u] += bias_at(a, bias_row(a, b, h, query) + key);
          if (a.relative) s[u] += to_log2(a.relative[static_cast<int64_t>(h) * a.relative_stride + a.relative_origin + key - query]);
        }
        largest = fmaxf(largest, s[u]);
      }
      const float base = largest == -INFINITY ? 0.f : largest, correction = exp2f(m[r] - base);
      m[r] = largest;
      l[r] *= correction;
#pragma unroll
      for (int e = 0; e < L::kChunks * L::kVector; ++e) o[r][e] *= correction;
#pragma unroll
      for (int u = 0; u < UNROLL; ++u) {
        const float p = exp2f(s[u] - base);
        l[r] += p;
#pragma unroll
        for (int c = 0; c < L::kChunks; ++c) {
          float f[L::kVector];
          unpack16<T>(vp[u][c], f);
#pragma unroll
          for (int e = 0; e < L::kVector; ++e) o[r][c * L::kVector + e] += p * f[e];
        }
      }
    }
  }

  // Sums of the warp's groups, then of warps, then of the cluster's blocks, in this order always.
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float largest = m[r];
#pragma unroll
    for (int i = L::kLanes; i < 32; i <<= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, i));
    const float correction = exp2f(m[r] - (largest == -INFINITY ? 0.f : largest));
    float sum = l[r] * correction;
#pragma unroll
    for (int i = L::kLanes; i < 32; i <<= 1) sum += __shfl_xor_sync(~0u, sum, i);
    float* to = part + (warp * R + r) * LD;
#pragma unroll
    for (int e = 0; e < L::kChunks * L::kVector; ++e) {
      float x = o[r][e] * correction;
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) x += __shfl_xor_sync(~0u, x, i);
      const int d = (sub + e / L::kVector * L::kLanes) * L::kVector + e % L::kVector;
      if (which == 0 && d < HD) to[d] = x;
    }
    if (lane == 0) to[HD] = largest, to[HD + 1] = sum;
  }
  __syncthreads();
  const auto combine = [&](int parts, auto&& read, auto&& write) {
    for (int i = threadIdx.x; i < R * HD; i += blockDim.x) {
      const int r = i / HD, d = i % HD;
      float largest = -INFINITY;
      for (int w = 0; w < parts; ++w) largest = fmaxf(largest, read(w, r, HD));
      const float base = largest == -INFINITY ? 0.f : largest;
      float sum = 0.f, x = 0.f;
      for (int w = 0; w < parts; ++w) {
        const float correction = exp2f(read(w, r, HD) - base);
        sum += read(w, r, HD + 1) * correction;
        x += read(w, r, d) * correction;
      }
      write(r, d, x, largest, sum);
    }
  };
  const auto store = [&](int r, int d, float x, float, float sum) {
    if (r >= rows) return;
    T* to = static_cast<T*>(a.out) + b * a.out_strides.batch + (kv_head * group + r % group) * a.out_strides.head +
            (r / group) * a.out_strides.row;
    to[d] = from_float<T>(sum == 0.f ? 0.f : x / sum);
  };
  const auto of_warp = [&](int w, int r, int d) { return part[(w * R + r) * LD + d]; };
  if (splits == 1) {
    combine(kFewWarps, of_warp, store);
    return;
  }
  float* own = part + kFewWarps * R * LD;
  combine(kFewWarps, of_warp, [&](int r, int d, float x, float largest, float sum) {
    own[r * LD + d] = x;
    if (d == 0) own[r * LD + HD] = largest, own[r * LD + HD + 1] = sum;
  });
  cluster_sync();
  if (split == 0)
    combine(splits, [&](int w, int r, int d) { return load_remote(remote_address(own + r * LD + d, w)); }, store);
  cluster_sync();  // no block ends while others read it
}

}  // namespace cameo::cuda
