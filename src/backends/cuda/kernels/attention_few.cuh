// Attention of few queries that share their keys: the pieces of the variant `few` of attention.cu and of the decoder's step.
#pragma once

#include "backends/cuda/kernels/attention_mma.cuh"

namespace cameo::cuda {

constexpr int kFewRows = 8;  // queries that share keys, at most

// How a warp's lanes divide keys and values of heads of HD elements: kLanes lanes hold a key, kChunks times 16 bytes each.
template <typename T, int HD>
struct FewLayout {
  static constexpr int kPieces = HD * sizeof(T) / 16;
  static constexpr int kLanes = kPieces <= 4 ? 4 : kPieces <= 12 ? 8 : 16;
  static constexpr int kChunks = (kPieces + kLanes - 1) / kLanes;
  static constexpr int kVector = 16 / sizeof(T);
  static constexpr int kGroups = 32 / kLanes;  // keys of a warp at a time
};

// R queries of one set of keys: what a lane knows of them. Scores are in units of log2.
template <typename T, int HD, int R, int WARPS>
struct FewQueries {
  using L = FewLayout<T, HD>;
  static constexpr int kHeld = L::kChunks * L::kVector;
  static constexpr int kUnroll = R * L::kChunks >= 8 ? 1 : R >= 4 ? 2 : 4;  // keys of a lane at a time
  static constexpr int kRow = HD + 2;                                       // a row's sum, largest score and sum of weights
  static constexpr int kShared = (WARPS + 8) * R * kRow;                    // floats: of the warps, of up to 8 blocks

  float q[R][kHeld], o[R][kHeld], m[R], l[R];
  int lane, warp, sub, which;

  __device__ __forceinline__ FewQueries() : lane(threadIdx.x & 31), warp(threadIdx.x >> 5), sub(lane % L::kLanes), which(lane / L::kLanes) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      m[r] = -INFINITY, l[r] = 0.f;
#pragma unroll
      for (int e = 0; e < kHeld; ++e) o[r][e] = 0.f;
    }
  }
  __device__ __forceinline__ bool has_piece(int c) const { return sub + c * L::kLanes < L::kPieces; }
  __device__ __forceinline__ int piece(int c) const { return (sub + c * L::kLanes) * L::kVector; }  // its first element

  // Keys j0 + u * kGroups + which < last of a sequence.
  template <int U>
  __device__ __forceinline__ void load(uint4 (&to)[U][L::kChunks], const T* from, int64_t row, int j0, int last) const {
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int c = 0; c < L::kChunks; ++c) {
        const int key = j0 + u * L::kGroups + which;
        to[u][c] = key < last && has_piece(c) ? *reinterpret_cast<const uint4*>(from + key * row + piece(c)) : uint4{};
      }
  }

  // Adds U keys a lane group; score(r, u, product) says what a product counts, -infinity: not at all.
  template <int U, typename Score>
  __device__ __forceinline__ void add(const uint4 (&kp)[U][L::kChunks], const uint4 (&vp)[U][L::kChunks], Score&& score_of) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float s[U], largest = m[r];
#pragma unroll
      for (int u = 0; u < U; ++u) {
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
        s[u] = score_of(r, u, sum);
        largest = fmaxf(largest, s[u]);
      }
      const float base = largest == -INFINITY ? 0.f : largest, correction = power_of_2(m[r] - base);
      m[r] = largest;
      l[r] *= correction;
#pragma unroll
      for (int e = 0; e < kHeld; ++e) o[r][e] *= correction;
#pragma unroll
      for (int u = 0; u < U; ++u) {
        const float p = power_of_2(s[u] - base);
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

  // Adds up the warp's groups, then the warps, then the cluster's blocks, in this order always; store(r, d, value). Where
  // splits > 1 the block has arrived at the cluster's barrier before.
  template <typename Store>
  __device__ __forceinline__ void finish(float* shared, int splits, int split, Store&& store) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float largest = m[r];
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, i));
      const float correction = power_of_2(m[r] - (largest == -INFINITY ? 0.f : largest));
      float sum = l[r] * correction;
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) sum += __shfl_xor_sync(~0u, sum, i);
      float* to = shared + (warp * R + r) * kRow;
#pragma unroll
      for (int e = 0; e < kHeld; ++e) {
        float x = o[r][e] * correction;
#pragma unroll
        for (int i = L::kLanes; i < 32; i <<= 1) x += __shfl_xor_sync(~0u, x, i);
        if (which == 0 && has_piece(e / L::kVector)) to[piece(e / L::kVector) + e % L::kVector] = x;
      }
      if (lane == 0) to[HD] = largest, to[HD + 1] = sum;
    }
    __syncthreads();
    const auto combine = [&](int parts, auto&& read, auto&& write) {
      for (int i = threadIdx.x; i < R * HD; i += blockDim.x) {
        const int r = i / HD, d = i % HD;
        float largest = -INFINITY, sum = 0.f, x = 0.f;
        for (int w = 0; w < parts; ++w) largest = fmaxf(largest, read(w, r, HD));
        const float base = largest == -INFINITY ? 0.f : largest;
        for (int w = 0; w < parts; ++w) {
          const float correction = power_of_2(read(w, r, HD) - base);
          sum += read(w, r, HD + 1) * correction;
          x += read(w, r, d) * correction;
        }
        write(r, d, x, largest, sum);
      }
    };
    const auto last = [&](int r, int d, float x, float, float sum) { store(r, d, sum == 0.f ? 0.f : x / sum); };
    const auto of_warp = [&](int w, int r, int d) { return shared[(w * R + r) * kRow + d]; };
    if (splits == 1) {
      combine(WARPS, of_warp, last);
      return;
    }
    // To the first block, which adds them up.
    float* gathered = shared + WARPS * R * kRow;
    cluster_wait();
    combine(WARPS, of_warp, [&](int r, int d, float x, float largest, float sum) {
      const uint32_t to = remote_address(gathered + (split * R + r) * kRow, 0);
      store_remote(to + d * 4, x);
      if (d == 0) store_remote(to + HD * 4, largest), store_remote(to + HD * 4 + 4, sum);
    });
    cluster_arrive();
    cluster_wait();
    if (split == 0)
      combine(
          splits, [&](int w, int r, int d) { return gathered[(w * R + r) * kRow + d]; }, last);
  }
};

// Rows r = 0..R-1 of a block are (query r / group, head kv_head * group + r % group). Blocks of a cluster share the keys.
template <typename T, int HD, int R>
__global__ void __launch_bounds__(256) attention_few(const __grid_constant__ AttentionArgs a, int splits) {
  using Queries = FewQueries<T, HD, R, 8>;
  using L = FewLayout<T, HD>;
  extern __shared__ __align__(16) float few_shared[];  // Queries::kShared
  if (splits > 1) cluster_arrive();
  Queries state;
  const int group = a.heads / a.kv_heads, rows = group * a.queries;
  const int split = splits > 1 ? cluster_rank() : 0;
  const int unit = blockIdx.x / splits, b = unit / a.kv_heads, kv_head = unit % a.kv_heads;
  const RowView view = row_view(a, b);
  const KeyRange range = key_range(a, view, 0, a.queries - 1);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int row = min(r, rows - 1);
    const T* from = static_cast<const T*>(a.q) + b * a.q_strides.batch + (kv_head * group + row % group) * a.q_strides.head +
                    (row / group) * a.q_strides.row;
#pragma unroll
    for (int c = 0; c < L::kChunks; ++c)
      unpack16<T>(state.has_piece(c) ? *reinterpret_cast<const uint4*>(from + state.piece(c)) : uint4{}, state.q[r] + c * L::kVector);
  }
  const T* k = static_cast<const T*>(a.k) + b * a.k_strides.batch + kv_head * a.k_strides.head;
  const T* v = static_cast<const T*>(a.v) + b * a.v_strides.batch + kv_head * a.v_strides.head;
  const int count = max(range.last - range.first, 0), share = (count + splits - 1) / splits;
  const int first = range.first + split * share, last = min(first + share, range.last);
  constexpr int U = Queries::kUnroll;
  for (int j0 = first + state.warp * L::kGroups * U; j0 < last; j0 += 8 * L::kGroups * U) {
    uint4 kp[U][L::kChunks], vp[U][L::kChunks];
    state.template load<U>(kp, k, a.k_strides.row, j0, last);
    state.template load<U>(vp, v, a.v_strides.row, j0, last);
    state.template add<U>(kp, vp, [&](int r, int u, float product) {
      const int key = j0 + u * L::kGroups + state.which, query = r / group, h = kv_head * group + r % group;
      if (r >= rows || key >= last || !sees(a, view, query, key)) return -INFINITY;
      float s = score(a, product);
      if (a.bias_type != BiasType::kNone) s += bias_at(a, bias_row(a, b, h, query) + key);
      if (a.relative) s += to_log2(a.relative[static_cast<int64_t>(h) * a.relative_stride + a.relative_origin + key - query]);
      return s;
    });
  }
  state.finish(few_shared, splits, split, [&](int r, int d, float value) {
    if (r >= rows) return;
    T* to = static_cast<T*>(a.out) + b * a.out_strides.batch + (kv_head * group + r % group) * a.out_strides.head +
            (r / group) * a.out_strides.row;
    to[d] = from_float<T>(value);
  });
}

}  // namespace cameo::cuda
