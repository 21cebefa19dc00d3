// The layers of a decoder's step for few sequences, where latency and not bandwidth is what they cost: two kernels a layer
// instead of five, with clusters of 8 blocks that exchange intermediate results through each other's shared memory.
//
//   attention     a cluster is a head: norm + its queries, keys, values; append; attention; its part of the output product
//   feed-forward  a cluster has a share of the inner columns: norm + up + activation; its part of the down product
//
// The block of rank r has columns [r, r + 1) * hidden / 8 of x: it adds up there what the clusters of the kernel before it
// left (`parts`, in 16 bits, in a fixed order: the same tokens in give the same bits out), and multiplies with those columns
// of the cluster's rows of the first matrix. The norm is applied behind the product, when all blocks have told their mean and
// variance: with y = (x - mean) / deviation * w + b,
//   W y = 1 / deviation * sum over blocks of (W (w (x - mean of block)) + (mean of block - mean) W w) + W b
// where W w (by block) and W b are computed once (decoder_fused_prepare). The sums over columns are a reduction through shared
// memory of the cluster: to all blocks up to 2 sequences, else scattered over the blocks, finished there, and sent on. Then each
// block has its rows of the second matrix times what the cluster made.
//
// The blocks of a cluster share out the sequences, and the keys of one where there are fewer sequences than blocks. Where queries
// share keys, each of their clusters makes the keys and values that it needs itself, and one of them appends.
//
// Weights, keys and values are on their way before the kernel waits for its predecessor (programmatic dependent launch). Loops
// are not unrolled more than it takes: the code runs from a cold instruction cache, and its size is what it costs.
#include "backends/cuda/kernels/decoder_fused.h"

#include <algorithm>
#include <cmath>

#include "backends/cuda/kernels/attention_few.cuh"
#include "backends/cuda/kernels/cluster_exchange.cuh"
#include "backends/cuda/kernels/skinny_gemm.cuh"

namespace cameo::cuda {
namespace {

constexpr int kRanks = 8, kHalfWarps = 12, kHalfThreads = 32 * kHalfWarps, kHead = 64, kMostSequences = 8, kPerLane = 4, kMostClusters = 64,
              kMostHidden = 32 * kPerLane * kRanks, kGathered = kHead + 4;

// The columns of a block as the first product counts them: zeros fill them up to whole steps of it.
__host__ __device__ constexpr int padded_slice(int slice) { return (slice + 15) / 16 * 16; }

// Where things lie in shared memory, in bytes, and who does what.
struct HalfLayout {
  bool whole;                          // every block gets all sums of the first product
  int own;                             // its rows that a block finishes
  int splits;                          // blocks that share the keys of a sequence
  int units;                           // threads by 8 columns of x
  int groups;                          // of them that share the parts of a sequence
  int log_splits, log_groups, own_by;  // n / own = n * own_by >> 16: no divisions where time counts
  int barriers, rope, w1, w2, x, sums, received, stats, values, warps, gathered, operand, total;
  HalfLayout() = default;
  HalfLayout(bool attention, int m, int slice, int rows, int inner, bool rotary = false) {
    const int padded = padded_slice(slice);
    whole = m <= 2;
    own = whole ? rows : rows / kRanks;
    splits = m == 1 ? 8 : m == 2 ? 4 : m <= 4 ? 2 : 1;
    for (log_splits = 0; 1 << log_splits < splits;) ++log_splits;
    own_by = (65536 + own - 1) / own;
    units = kHalfThreads / (slice / 8);
    for (groups = 4; groups > 1 && groups * m > units;) groups /= 2;
    for (log_groups = 0; 1 << log_groups < groups;) ++log_groups;
    int at = 0;
    const auto place = [&](int bytes) {
      const int here = at;
      at += (bytes + 15) / 16 * 16;
      return here;
    };
    barriers = place(3 * 8);
    rope = place(rotary ? kHead * 4 : 0);
    w1 = place(rows * (padded + 8) * 2), w2 = place(padded * (inner + 8) * 2), x = place(kMostSequences * (padded + 8) * 2);
    sums = place(m * groups * slice * 4), received = place(own * m * kRanks * 4), stats = place(m * 3 * kRanks * 4);
    values = place(attention ? m * rows * 4 : 0), warps = place(attention ? kHalfWarps * (kHead + 2) * 4 : 0);
    gathered = place(attention ? m * splits * kGathered * 4 : 0), operand = place(kMostSequences * (inner + 8) * 2);
    total = at;
  }
};

struct HalfArgs {
  SkinnyEmbedding embedding;  // of the first layer; else x and parts
  const float* x;             // [rank, batch, columns of a rank]
  const void* parts;          // [rank, batch, num_parts, columns], to be added to x
  float* x_out;               // the sum
  void* parts_out;            // [rank, batch, clusters, columns]
  const void* norm_weight;
  const float* ww;  // [8, n], see above
  const float* wb;  // [n], with the bias
  const void* w1;   // [n, hidden]; a cluster has `rows` rows of it
  const void* w2;   // [hidden, w2_stride]; a cluster has `inner` columns of it
  const void* b2;
  void* k_cache;  // [batch, kv_heads, capacity, 64]
  void* v_cache;
  const int32_t* lengths;
  const float* rope_cos;  // [capacity, 32] or null
  const float* rope_sin;
  int32_t num_parts, clusters, batch, hidden, n, rows, inner, w2_stride, heads, kv_heads, capacity;
  float epsilon, scale;  // of attention, times log2(e)
  float per_column;      // 1 / columns of a block
  Activation activation;
  bool first;   // the step's first kernel
  bool centre;  // the norm takes the mean away
  HalfLayout at;
  // Weights of the kernel behind the next, and their bytes: to L2, for the next one's are on their way to shared memory.
  const void* ahead[2];
  int64_t ahead_bytes[2];
};

// 8 of a rank's columns of x from column c on, with every groups-th part from `group` on; x itself where group is 0.
template <typename T>
__device__ __forceinline__ void gather(const float* x, const void* parts, int num_parts, int slice, int64_t row, int c, int group,
                                       int groups, float* to) {
  uint4 low{}, high{};
  if (group == 0) low = load_fresh(x + row * slice + c), high = load_fresh(x + row * slice + c + 4);
  const T* from = static_cast<const T*>(parts) + row * num_parts * slice + c;
  float f[8] = {};
#pragma unroll 1
  for (int p = group; p < num_parts; p += 4 * groups) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = p + j * groups < num_parts ? load_fresh(from + (p + j * groups) * slice) : uint4{};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float q[8];
      unpack16<T>(v[j], q);
#pragma unroll
      for (int i = 0; i < 8; ++i) f[i] += q[i];
    }
  }
  float q[8];
  unpack16<float>(low, q), unpack16<float>(high, q + 4);
  reinterpret_cast<float4*>(to)[0] = {f[0] + q[0], f[1] + q[1], f[2] + q[2], f[3] + q[3]};
  reinterpret_cast<float4*>(to)[1] = {f[4] + q[4], f[5] + q[5], f[6] + q[6], f[7] + q[7]};
}

// c[16 x 8] += w[16 x k] x[8 x k]^T from shared memory; w and x are the lane's places in the first fragments.
template <typename T>
__device__ __forceinline__ void multiply(float (&c)[4], const T* w, const T* x, int k) {
#pragma unroll 3
  for (int k0 = 0; k0 < k; k0 += 16) {
    uint32_t f[4];
    ldmatrix4(f, w + k0);
    mma16816<T>(c, f, *reinterpret_cast<const uint32_t*>(x + k0), *reinterpret_cast<const uint32_t*>(x + k0 + 8));
  }
}

// Adds up what parts of attention made: `count` rows of 64 sums, the largest score, the sum of weights.
__device__ __forceinline__ float combine(const float* from, int row, int count, int d, float& largest, float& sum) {
  largest = -INFINITY, sum = 0.f;
  float x = 0.f;
#pragma unroll 1
  for (int w = 0; w < count; w += 4) {
    // Rows past the last count as the last.
    float scores[4], most = largest;
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[i] = w + i < count ? from[(w + i) * row + kHead] : -INFINITY, most = fmaxf(most, scores[i]);
    const float base = most == -INFINITY ? 0.f : most, before = power_of_2(largest - base);
    sum *= before, x *= before, largest = most;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float by = power_of_2(scores[i] - base);
      if (w + i < count) sum += from[(w + i) * row + kHead + 1] * by, x += from[(w + i) * row + d] * by;
    }
  }
  return x;
}

// LLAMA: rotary positions, SwiGLU.
template <typename T, bool ATTENTION, bool LLAMA>
__global__ void __launch_bounds__(kHalfThreads, 2) half_layer(const __grid_constant__ HalfArgs a) {
  extern __shared__ __align__(16) unsigned char half_shared[];
  if (!a.first) launch_dependents();
  const HalfLayout& at = a.at;
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
  const int rank = static_cast<int>(cluster_rank()), cluster = blockIdx.x / kRanks, m = a.batch;
  const int slice = a.hidden / kRanks, chunks1 = slice / 8, chunks2 = a.inner / 8, padded = padded_slice(slice), stride1 = padded + 8,
            stride2 = a.inner + 8;
  T* const w1 = reinterpret_cast<T*>(half_shared + at.w1);
  T* const w2 = reinterpret_cast<T*>(half_shared + at.w2);
  T* const xs = reinterpret_cast<T*>(half_shared + at.x);
  T* const operand = reinterpret_cast<T*>(half_shared + at.operand);
  float* const sums = reinterpret_cast<float*>(half_shared + at.sums);          // [m][groups][slice]
  float* const received = reinterpret_cast<float*>(half_shared + at.received);  // [m][ranks][own]
  float* const stats = reinterpret_cast<float*>(half_shared + at.stats);        // [m][3][ranks]: mean, squares, deviation
  float* const values = reinterpret_cast<float*>(half_shared + at.values);      // [m][rows]
  const int sharing = ATTENTION ? a.heads / a.kv_heads : 1, kv_head = cluster / sharing;
  const auto row_of = [&](int i) {  // of w1
    if (!ATTENTION) return cluster * a.rows + i;
    const int head = i < kHead ? cluster : a.heads + (i < 2 * kHead ? 0 : a.kv_heads) + kv_head;
    return head * kHead + i % kHead;
  };

  // What comes from other blocks: sums of the first product, what is finished of them, attention.
  uint64_t* const barriers = reinterpret_cast<uint64_t*>(half_shared + at.barriers);
  const int slot = rank >> at.log_splits, split = rank & (at.splits - 1);
  const auto expected = [&](int which) -> int {
    if (which == 0) return (at.own + 3) * m * kRanks * 4;
    return which == 2 ? m * at.splits * (kHead + 2) * 4 : ATTENTION ? (slot < m ? a.rows * 4 : 0) : m * a.inner * 2;
  };
  if (tid == 0)
    for (int i = 0; i < 3; ++i) begin_exchange(barriers + i, expected(i));
  __syncwarp();
  cluster_arrive();

  // Weights.
  const int unit = tid / chunks1, column = tid % chunks1 * 8;
  if (unit < at.units) {
    const T* from = static_cast<const T*>(a.w1) + rank * slice + column;
#pragma unroll 1
    for (int row = unit; row < a.rows; row += at.units)
      copy_async16(w1 + row * stride1 + column, from + static_cast<int64_t>(row_of(row)) * a.hidden, true);
  }
  copy_async_commit();
  {
    const int unit2 = tid / chunks2, units2 = kHalfThreads / chunks2, k = tid % chunks2 * 8;
    const T* from = static_cast<const T*>(a.w2) + static_cast<int64_t>(rank * slice) * a.w2_stride + cluster * a.inner + k;
#pragma unroll 1
    for (int row = unit2; row < slice && unit2 < units2; row += units2)
      copy_async16(w2 + row * stride2 + k, from + static_cast<int64_t>(row) * a.w2_stride, true);
  }
  copy_async_commit();
  if (tid == kHalfThreads - 1)
    for (int i = 0; i < 2; ++i) prefetch_share(a.ahead[i], a.ahead_bytes[i], blockIdx.x, gridDim.x);
  if (padded > slice) {  // one piece of 16 bytes a row
#pragma unroll 1
    for (int i = tid; i < a.rows + kMostSequences; i += kHalfThreads) {
      T* row = i < a.rows ? w1 + i * stride1 : xs + (i - a.rows) * stride1;
      *reinterpret_cast<uint4*>(row + slice) = uint4{};
    }
  }
  float norm[kPerLane];
#pragma unroll
  for (int e = 0; e < kPerLane; ++e)
    norm[e] = lane + 32 * e < slice ? to_float(static_cast<const T*>(a.norm_weight)[rank * slice + lane + 32 * e]) : 0.f;
  // The sum that this thread finishes.
  const int my_row = tid / at.own, my_n = (at.whole ? 0 : rank * at.own) + tid % at.own;
  const bool finishes = my_row < m;
  float ww[kRanks], wb = 0.f;
  if (finishes) {
    const int n = row_of(my_n);
#pragma unroll
    for (int r = 0; r < kRanks; ++r) ww[r] = a.ww[r * a.n + n];
    wb = a.wb[n];
  }
  float bias2[2] = {};  // of the second product, of which a warp has a tile
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (cluster == 0 && a.b2 && warp * 16 + g + half * 8 < slice)
      bias2[half] = to_float(static_cast<const T*>(a.b2)[rank * slice + warp * 16 + g + half * 8]);
  cluster_wait();  // all blocks run

  if (a.first) {
    wait_for_predecessor();
    launch_dependents();
  }
  // Keys and values of this block's sequence, `slot`, where there is one: its share of the keys ends before `last`.
  using Queries = FewQueries<T, kHead, 1, kHalfWarps>;
  using L = FewLayout<T, kHead>;
  constexpr int U = Queries::kUnroll, V = L::kVector;
  static_assert(L::kChunks == 1);
  uint4 kp[U][1], vp[U][1];
  float* const rope = reinterpret_cast<float*>(half_shared + at.rope);  // [64]
  Queries state;
  const bool attends = ATTENTION && slot < m;
  int position = 0, key = 0, last = 0;
  const T *k_cache = nullptr, *v_cache = nullptr;
  if (attends) {
    position = min(max(a.lengths[slot], 0), a.capacity);  // the keys cached so far
    const int share = (position + at.splits - 1) >> at.log_splits;
    key = split * share + warp * L::kGroups * U, last = min((split + 1) * share, position);
    const int64_t cache = (static_cast<int64_t>(slot) * a.kv_heads + kv_head) * a.capacity * kHead;
    k_cache = static_cast<const T*>(a.k_cache) + cache, v_cache = static_cast<const T*>(a.v_cache) + cache;
    if (LLAMA && tid < kHead / 4) {  // cosines, then sines, of the new place
      const int c = tid * 4;
      const int64_t from = static_cast<int64_t>(min(position, a.capacity - 1)) * (kHead / 2);
      copy_async16(rope + c, c < kHead / 2 ? a.rope_cos + from + c : a.rope_sin + from + c - kHead / 2, true);
    }
    state.template load<U>(kp, k_cache, kHead, key, last);
    state.template load<U>(vp, v_cache, kHead, key, last);
  }
  wait_for_predecessor();

  // x of the first layer.
  if (a.first) {
    const SkinnyEmbedding& e = a.embedding;
#pragma unroll 1
    for (int i = tid; i < m * slice; i += kHalfThreads) {
      const int row = i / slice, c = rank * slice + i - row * slice;
      const int token = min(max(e.tokens[row], 0), e.vocabulary - 1), place = min(max(e.lengths[row], 0), e.capacity - 1);
      float v = to_float(static_cast<const T*>(e.table)[static_cast<int64_t>(token) * a.hidden + c]) * e.scale;
      if (e.positions) v += to_float(static_cast<const T*>(e.positions)[static_cast<int64_t>(place) * a.hidden + c]);
      sums[(row * at.groups) * slice + i - row * slice] = v;
    }
  }
  // Of the others.
#pragma unroll 1
  for (int i = unit; i < m * at.groups && unit < at.units && !a.first; i += at.units)
    gather<T>(a.x, a.parts, a.num_parts, slice, static_cast<int64_t>(rank) * a.batch + (i >> at.log_groups), column, i & (at.groups - 1),
              at.groups, sums + i * slice + column);
  copy_async_wait<1>();
  __syncthreads();
  // Its mean and variance in these columns, and what is left of it.
#pragma unroll 1
  for (int row = warp; row < m; row += kHalfWarps) {
    float x[kPerLane] = {}, sum = 0.f, squares = 0.f;
    const float* from = sums + row * at.groups * slice + lane;
#pragma unroll 1
    for (int p = a.first ? 1 : at.groups; p > 0; --p, from += slice)
#pragma unroll
      for (int e = 0; e < kPerLane; ++e) x[e] += lane + 32 * e < slice ? from[32 * e] : 0.f;
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) sum += x[e], squares += x[e] * x[e];
#pragma unroll
    for (int i = 16; i > 0; i >>= 1) sum += __shfl_xor_sync(~0u, sum, i), squares += __shfl_xor_sync(~0u, squares, i);
    const float mean = a.centre ? sum * a.per_column : 0.f, variance = fmaxf(squares * a.per_column - mean * mean, 1e-30f),
                inverse = rsqrtf(variance);
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      const int i = lane + 32 * e;
      if (i < slice) xs[row * stride1 + i] = from_float<T>((x[e] - mean) * inverse * norm[e]);
      if (i < slice && cluster == 0) a.x_out[(static_cast<int64_t>(rank) * a.batch + row) * slice + i] = x[e];
    }
    const int which = lane / kRanks;
    const float value = which == 0 ? mean : which == 1 ? variance : variance * inverse;
    if (which < 3) send1(stats + (row * 3 + which) * kRanks + rank, barriers, lane % kRanks, value);
  }
  __syncthreads();

  // The first product. 8 lanes with consecutive rows of w1 send to one block.
#pragma unroll 1
  for (int tile = warp; tile * 16 < a.rows; tile += kHalfWarps) {
    float c[4] = {};
    multiply<T>(c, w1 + (tile * 16 + lane % 16) * stride1 + lane / 16 * 8, xs + g * stride1 + 2 * t, padded);
    if (at.whole) {
      // Lane l sends rows 4 (l / 8) .. of the tile to block l % 8.
      const int quad = lane / kRanks, source = quad % 2 * 16;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        if (j >= m) break;
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float low = __shfl_sync(~0u, c[j], source + 4 * i), high = __shfl_sync(~0u, c[j + 2], source + 4 * i);
          v[i] = quad < 2 ? low : high;
        }
        send4(received + (j * kRanks + rank) * at.own + tile * 16 + quad * 4, barriers, lane % kRanks, v[0], v[1], v[2], v[3]);
      }
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int n = tile * 16 + half * 8, owner = n * at.own_by >> 16;
        const float* to = received + rank * at.own + n - owner * at.own + g;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const float v = c[half * 2 + j], v1 = __shfl_down_sync(~0u, v, 4), v2 = __shfl_down_sync(~0u, v, 8),
                      v3 = __shfl_down_sync(~0u, v, 12);
          const int row = 2 * t + j;
          if (row < m && g % 4 == 0) send4(to + row * kRanks * at.own, barriers, owner, v, v1, v2, v3);
        }
      }
    }
  }
  mbarrier_wait_cluster(barriers, 0);

  // Its sums, the norm, the bias, and on to where they are needed.
  float y = 0.f;
  if (finishes) {
    const float* told = stats + my_row * 3 * kRanks;
    const float* from = received + my_row * kRanks * at.own + tid - my_row * at.own;
    float mean = 0.f, variance = 0.f;
#pragma unroll
    for (int r = 0; r < kRanks; ++r) mean += told[r], variance += told[kRanks + r];
    mean *= 1.f / kRanks;
#pragma unroll
    for (int r = 0; r < kRanks; ++r) {
      const float off = told[r] - mean;
      variance += off * off;
      y += from[r * at.own] * told[2 * kRanks + r] + off * ww[r];
    }
    y = y * rsqrtf(variance * (1.f / kRanks) + a.epsilon) + wb;
    if constexpr (!ATTENTION && !LLAMA) y = activate(a.activation, y);
  }
  if constexpr (!ATTENTION && LLAMA) {  // gates stand 8 rows before their ups
    const float up = __shfl_xor_sync(~0u, y, 8);
    y = activate(Activation::kSilu, y) * up;
  }
  const bool gives = finishes && (ATTENTION || !LLAMA || tid % 16 < 8);
  const int column2 = LLAMA ? my_n / 16 * 8 + my_n % 8 : my_n;  // of the second product
  if constexpr (ATTENTION) {
    float* to = values + my_row * a.rows + my_n;
    if (at.whole) {
      if (finishes) *to = y;
    } else {
      const float y1 = __shfl_down_sync(~0u, y, 1), y2 = __shfl_down_sync(~0u, y, 2), y3 = __shfl_down_sync(~0u, y, 3);
      if (finishes && tid % 4 == 0)
        for (int s = 0; s < at.splits; ++s) send4(to, barriers + 1, my_row * at.splits + s, y, y1, y2, y3);
    }
  } else if (at.whole) {
    if (gives) operand[my_row * stride2 + column2] = from_float<T>(y);
  } else {
    // 8 lanes have 16 bytes, which each sends to another block.
    const float pair = __uint_as_float(pack2<T>(y, __shfl_down_sync(~0u, y, 1)));
    float v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = __shfl_sync(~0u, pair, (lane & ~7) + 2 * i);
    if (gives) send4(operand + my_row * stride2 + column2 / 8 * 8, barriers + 1, lane % 8, v[0], v[1], v[2], v[3]);
  }
  copy_async_wait_all();
  __syncthreads();
  if (!at.whole) mbarrier_wait_cluster(barriers + 1, 0);

  if constexpr (ATTENTION) {
    constexpr int kRow = kHead + 2;
    float* const warps = reinterpret_cast<float*>(half_shared + at.warps);
    float* const gathered = reinterpret_cast<float*>(half_shared + at.gathered);  // [m][splits][kRow]
    if (attends) {
      const float* row = values + slot * a.rows;
      const float* turned = rope + state.piece(0) % (kHead / 2);
      const auto value = [&](const float* of, int e) {  // rotated by halves
        const int d = state.piece(0) + e;
        if constexpr (!LLAMA)
          return of[d];
        else
          return of[d] * turned[e] + (d < kHead / 2 ? -of[d + kHead / 2] : of[d - kHead / 2]) * turned[kHead / 2 + e];
      };
#pragma unroll
      for (int e = 0; e < V; ++e) state.q[0][e] = value(row, e) * a.scale;
      if (split == at.splits - 1 && warp == kHalfWarps - 1 && position < a.capacity) {
        float f[V];
#pragma unroll
        for (int e = 0; e < V; ++e) f[e] = value(row + kHead, e);
        const uint4 kn[1][1] = {{pack16<T>(f)}}, vn[1][1] = {{pack16<T>(row + 2 * kHead + state.piece(0))}};
        if (state.which == 0 && cluster == kv_head * sharing) {
          const int64_t place = ((static_cast<int64_t>(slot) * a.kv_heads + kv_head) * a.capacity + position) * kHead + state.piece(0);
          *reinterpret_cast<uint4*>(static_cast<T*>(a.k_cache) + place) = kn[0][0];
          *reinterpret_cast<uint4*>(static_cast<T*>(a.v_cache) + place) = vn[0][0];
        }
        state.template add<1>(kn, vn, [&](int, int, float product) { return state.which == 0 ? product : -INFINITY; });
      }
#pragma unroll 1
      while (key < last) {
        state.template add<U>(kp, vp,
                              [&](int, int u, float product) { return key + u * L::kGroups + state.which < last ? product : -INFINITY; });
        key += kHalfWarps * L::kGroups * U;
        state.template load<U>(kp, k_cache, kHead, key, last);
        state.template load<U>(vp, v_cache, kHead, key, last);
      }
      // The warp's sum.
      float largest = state.m[0];
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, i));
      const float correction = power_of_2(state.m[0] - (largest == -INFINITY ? 0.f : largest));
      float sum = state.l[0] * correction;
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) sum += __shfl_xor_sync(~0u, sum, i);
      float* to = warps + warp * kRow;
#pragma unroll
      for (int e = 0; e < V; ++e) {
        float x = state.o[0][e] * correction;
#pragma unroll
        for (int i = L::kLanes; i < 32; i <<= 1) x += __shfl_xor_sync(~0u, x, i);
        if (state.which == 0) to[state.piece(0) + e] = x;
      }
      if (lane == 0) to[kHead] = largest, to[kHead + 1] = sum;
    }
    __syncthreads();
    if (attends) {
      const int d = tid % kHead;
      float largest, sum;
      const float x = combine(warps, kRow, kHalfWarps, d, largest, sum);
      const float x1 = __shfl_down_sync(~0u, x, 1), x2 = __shfl_down_sync(~0u, x, 2), x3 = __shfl_down_sync(~0u, x, 3);
      const float* to = gathered + (slot * at.splits + split) * kGathered;
#pragma unroll 1
      for (int r = tid / kHead; r < kRanks; r += kHalfThreads / kHead) {
        if (d % 4 == 0) send4(to + d, barriers + 2, r, x, x1, x2, x3);
        if (d == 1) send2(to + kHead, barriers + 2, r, largest, sum);
      }
    }
    mbarrier_wait_cluster(barriers + 2, 0);
#pragma unroll 1
    for (int i = tid; i < m * kHead; i += kHalfThreads) {
      float largest, sum;
      const float x = combine(gathered + i / kHead * at.splits * kGathered, kGathered, at.splits, i % kHead, largest, sum);
      operand[i / kHead * stride2 + i % kHead] = from_float<T>(sum == 0.f ? 0.f : __fdividef(x, sum));
    }
    __syncthreads();
  }

  // The second product.
  if (warp * 16 < slice) {
    float c[4] = {};
    multiply<T>(c, w2 + (warp * 16 + lane % 16) * stride2 + lane / 16 * 8, operand + g * stride2 + 2 * t, a.inner);
    T* to = static_cast<T*>(a.parts_out) + (static_cast<int64_t>(rank) * a.batch * a.clusters + cluster) * slice + warp * 16 + g;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = 2 * t + (j & 1);
      if (row < m && warp * 16 + g + (j >> 1) * 8 < slice)
        to[row * a.clusters * slice + (j >> 1) * 8] = from_float<T>(c[j] + bias2[j >> 1]);
    }
  }
}

struct LastNorm {
  const float* x;
  const void* parts;
  void* y;
  const void* weight;
  const void* bias;
  int32_t num_parts, batch, hidden;
  float epsilon;
  bool centre;
};

// A block normalises a row.
template <typename T>
__global__ void __launch_bounds__(kHalfThreads) last_norm(const __grid_constant__ LastNorm a) {
  __shared__ __align__(16) float sums[8 * kHalfThreads];  // [groups][hidden]
  __shared__ float partial[2][kHalfWarps];
  launch_dependents();
  wait_for_predecessor();
  const int tid = threadIdx.x, chunks = a.hidden / 8, groups = kHalfThreads / chunks, group = tid / chunks, column = tid % chunks * 8;
  const int slice = a.hidden / kRanks, rank = column / slice;
  if (group < groups)
    gather<T>(a.x, a.parts, a.num_parts, slice, static_cast<int64_t>(rank) * a.batch + blockIdx.x, column - rank * slice, group, groups,
              sums + group * a.hidden + column);
  __syncthreads();
  const auto block_sum = [&](float x, int which) {
    x = warp_sum(x);
    if (tid % 32 == 0) partial[which][tid / 32] = x;
    __syncthreads();
    float sum = 0.f;
    for (int w = 0; w < kHalfWarps; ++w) sum += partial[which][w];
    return sum;
  };
  float x[kPerLane], sum = 0.f, squares = 0.f;
#pragma unroll
  for (int e = 0; e < kPerLane; ++e) {
    const int i = tid + e * kHalfThreads;
    x[e] = 0.f;
#pragma unroll 1
    for (int p = 0; p < groups && i < a.hidden; ++p) x[e] += sums[p * a.hidden + i];
    sum += x[e];
  }
  const float mean = a.centre ? block_sum(sum, 0) / a.hidden : 0.f;
#pragma unroll
  for (int e = 0; e < kPerLane; ++e)
    if (tid + e * kHalfThreads < a.hidden) squares += (x[e] - mean) * (x[e] - mean);
  const float inverse = rsqrtf(block_sum(squares, 1) / a.hidden + a.epsilon);
#pragma unroll
  for (int e = 0; e < kPerLane; ++e) {
    const int i = tid + e * kHalfThreads;
    if (i >= a.hidden) continue;
    float y = (x[e] - mean) * inverse * to_float(static_cast<const T*>(a.weight)[i]);
    if (a.bias) y += to_float(static_cast<const T*>(a.bias)[i]);
    static_cast<T*>(a.y)[static_cast<int64_t>(blockIdx.x) * a.hidden + i] = from_float<T>(y);
  }
}

// ww[r][n] = sum of W[n][k] w[k] over the columns k of rank r, wb[n] = sum of W[n][k] b[k] + bias[n]. A warp has a row.
template <typename T>
__global__ void __launch_bounds__(256)
    norm_constants(const T* w, const T* bias, const T* norm_weight, const T* norm_bias, int n, int hidden, float* ww, float* wb) {
  const int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32, slice = hidden / kRanks;
  if (row >= n) return;
  float all = 0.f;
  for (int r = 0; r < kRanks; ++r) {
    float sum = 0.f;
    for (int i = lane; i < slice; i += 32) {
      const int k = r * slice + i;
      const float x = to_float(w[static_cast<int64_t>(row) * hidden + k]);
      sum += x * to_float(norm_weight[k]);
      if (norm_bias) all += x * to_float(norm_bias[k]);
    }
    sum = warp_sum(sum);
    if (lane == 0) ww[static_cast<int64_t>(r) * n + row] = sum;
  }
  all = warp_sum(all);
  if (lane == 0) wb[row] = all + (bias ? to_float(bias[row]) : 0.f);
}

// Clusters that share the inner columns of the feed-forward part; 0: it does not fit.
int inner_clusters(const DecoderConfig& c) {
  const bool glu = c.activation == Activation::kSwiGlu;
  const int all = glu ? 2 * c.ffn : c.ffn, m = c.batch;
  for (const int clusters : {16, 12, 24, 32, 48, kMostClusters}) {
    const int rows = all / clusters;
    // A tile of the product has 16 rows, and 16 inner columns; a block finishes whole pairs of gates and ups.
    if (all % (clusters * 64) || (m > 2 && glu && rows / kRanks % 16) || (m <= 2 ? rows : rows / kRanks) * m > kHalfThreads) continue;
    if (HalfLayout(false, m, c.hidden / kRanks, rows, glu ? rows / 2 : rows).total <= 112 * 1024) return clusters;
  }
  return 0;
}

int products(const DecoderConfig& c) { return (c.heads + 2 * c.kv_heads) * kHead; }  // rows of the first matrix of attention

// Where things lie in the workspace, in bytes; enough for fewer sequences too: a wider workspace may be given to a narrower step.
struct Workspace {
  int64_t x[2], parts[2], total;
  explicit Workspace(const DecoderConfig& c) {
    const int64_t row = int64_t{std::min(c.batch, kMostSequences)} * c.hidden;
    const auto rounded = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
    total = 0;
    for (int i = 0; i < 2; ++i) x[i] = total, total += rounded(row * 4);
    parts[0] = total, total += rounded(row * c.heads * 2);        // of attention
    parts[1] = total, total += rounded(row * kMostClusters * 2);  // of the feed-forward part
  }
};

template <typename T>
cudaError_t run_layers(const DecoderConfig& c, const DecoderWeights& w, const DecoderState& s, uint8_t* base, void* normed,
                       cudaStream_t stream) {
  const Workspace at(c);
  const int slice = c.hidden / kRanks, clusters = inner_clusters(c);
  const auto x = [&](int i) { return reinterpret_cast<float*>(base + at.x[i]); };
  const float* constants = static_cast<const float*>(w.constants);
  for (int i = 0; i < 2 * c.layers; ++i) {
    const DecoderLayer& layer = w.layers[i / 2];
    const bool attention = i % 2 == 0;
    HalfArgs a{};
    if (i == 0) {
      SkinnyEmbedding& e = a.embedding;
      e.tokens = s.tokens, e.lengths = s.lengths, e.table = w.token_embedding, e.positions = w.position_embedding;
      e.vocabulary = c.vocabulary, e.capacity = c.capacity, e.scale = c.embedding_scale;
    }
    a.first = i == 0;
    a.x = x((i + 1) % 2), a.x_out = x(i % 2), a.parts = base + at.parts[(i + 1) % 2], a.parts_out = base + at.parts[i % 2];
    a.num_parts = i == 0 ? 0 : attention ? clusters : c.heads, a.clusters = attention ? c.heads : clusters;
    a.batch = c.batch, a.hidden = c.hidden, a.epsilon = c.epsilon, a.heads = c.heads;
    const DecoderMatrix& second = attention ? layer.out : layer.down;
    a.w1 = attention ? layer.qkv.w : layer.up.w, a.w2 = second.w, a.b2 = second.bias;
    a.norm_weight = attention ? layer.norm1_weight : layer.norm2_weight;
    const bool glu = c.activation == Activation::kSwiGlu;
    const int up_rows = glu ? 2 * c.ffn : c.ffn;
    a.n = attention ? products(c) : up_rows;
    a.ww = constants, a.wb = constants + int64_t{kRanks} * a.n, constants += int64_t{kRanks + 1} * a.n;
    a.rows = attention ? 3 * kHead : up_rows / clusters, a.inner = attention ? kHead : c.ffn / clusters;
    a.w2_stride = attention ? c.heads * kHead : c.ffn, a.capacity = c.capacity, a.kv_heads = c.kv_heads;
    a.rope_cos = c.rope_cos, a.rope_sin = c.rope_sin, a.centre = c.norm == NormKind::kLayer;
    a.activation = c.activation, a.lengths = s.lengths, a.k_cache = layer.k_cache, a.v_cache = layer.v_cache;
    a.scale = (c.attention_scale != 0.f ? c.attention_scale : 1.f / std::sqrt(static_cast<float>(kHead))) * kLog2e;
    a.per_column = 1.f / static_cast<float>(slice);
    a.at = HalfLayout(attention, c.batch, slice, a.rows, a.inner, attention && glu);
    if (i + 2 < 2 * c.layers) {
      const DecoderLayer& next = w.layers[i / 2 + 1];
      a.ahead[0] = attention ? next.qkv.w : next.up.w, a.ahead_bytes[0] = int64_t{2} * a.n * c.hidden;
      a.ahead[1] = attention ? next.out.w : next.down.w, a.ahead_bytes[1] = int64_t{2} * c.hidden * a.w2_stride;
    }
    LaunchShape shape{.grid = dim3((attention ? c.heads : clusters) * kRanks), .block = dim3(kHalfThreads)};
    shape.shared = a.at.total, shape.cluster = kRanks, shape.dependent = true;
    const auto kernel = glu         ? attention ? half_layer<T, true, true> : half_layer<T, false, true>
                                : attention ? half_layer<T, true, false>
                                    : half_layer<T, false, false>;
    if (const cudaError_t e = launch(kernel, shape, stream, a); e != cudaSuccess) return e;
  }
  LastNorm n{};
  n.x = x(1), n.parts = base + at.parts[1], n.y = normed, n.weight = w.final_norm_weight, n.bias = w.final_norm_bias;
  n.num_parts = clusters, n.batch = c.batch, n.hidden = c.hidden, n.epsilon = c.epsilon, n.centre = c.norm == NormKind::kLayer;
  LaunchShape shape{.grid = dim3(c.batch), .block = dim3(kHalfThreads)};
  shape.dependent = true;
  return launch(last_norm<T>, shape, stream, n);
}

template <typename T>
cudaError_t prepare(const DecoderConfig& c, const DecoderWeights& w, float* to, cudaStream_t stream) {
  for (int i = 0; i < 2 * c.layers; ++i) {
    const DecoderLayer& l = w.layers[i / 2];
    const bool attention = i % 2 == 0;
    const int n = attention ? products(c) : c.activation == Activation::kSwiGlu ? 2 * c.ffn : c.ffn;
    const DecoderMatrix& matrix = attention ? l.qkv : l.up;
    const auto of = [](const void* p) { return static_cast<const T*>(p); };
    norm_constants<T><<<(n + 7) / 8, 256, 0, stream>>>(of(matrix.w), of(matrix.bias), of(attention ? l.norm1_weight : l.norm2_weight),
                                                       of(attention ? l.norm1_bias : l.norm2_bias), n, c.hidden, to,
                                                       to + int64_t{kRanks} * n);
    if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess) return e;
    to += int64_t{kRanks + 1} * n;
  }
  return cudaSuccess;
}

}  // namespace

int64_t decoder_fused_workspace(const DecoderConfig& config) {
  return config.type == Scalar::kFloat32 || config.hidden > kMostHidden ? 0 : Workspace(config).total;
}

const char* decoder_fused_refusal(const DecoderConfig& c, const DecoderWeights& w, const DeviceTraits& device) {
  if (device.capability < 90) return "needs compute capability 9.0";
  if (c.type == Scalar::kFloat32) return "needs 16 bits";
  if (c.batch < 1 || c.batch > kMostSequences) return "not 1 to 8 sequences";
  const bool llama = c.activation == Activation::kSwiGlu;
  if (llama != (c.rope_cos != nullptr) || c.norm == NormKind::kNone) return "neither like GPT-2 nor like Llama";
  if (c.head_size != kHead) return "heads are not of 64";
  if (c.hidden % (8 * kRanks) || c.hidden > kMostHidden) return "the hidden size is no multiple of 64, or above 1024";
  if (inner_clusters(c) == 0) return "the feed-forward part is not covered";
  if (HalfLayout(true, c.batch, c.hidden / kRanks, 3 * kHead, kHead, llama).total > 112 * 1024) return "the attention part is not covered";
  for (int i = 0; i < c.layers; ++i) {
    const DecoderLayer& l = w.layers[i];
    for (const DecoderMatrix* matrix : {&l.qkv, &l.out, &l.up, &l.down})
      if (matrix->format != WeightFormat::kPlain) return "weights are quantised";
  }
  return nullptr;
}

int64_t decoder_fused_constants(const DecoderConfig& c) {
  const int up = c.activation == Activation::kSwiGlu ? 2 * c.ffn : c.ffn;
  return int64_t{c.layers} * (kRanks + 1) * (products(c) + up) * static_cast<int64_t>(sizeof(float));
}

cudaError_t decoder_fused_prepare(const DecoderConfig& config, const DecoderWeights& weights, void* constants, cudaStream_t stream) {
  auto* to = static_cast<float*>(constants);
  return config.type == Scalar::kFloat16 ? prepare<__half>(config, weights, to, stream)
                                         : prepare<__nv_bfloat16>(config, weights, to, stream);
}

cudaError_t decoder_fused_layers(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace,
                                 void* normed, cudaStream_t stream) {
  auto* base = static_cast<uint8_t*>(workspace);
  return config.type == Scalar::kFloat16 ? run_layers<__half>(config, weights, state, base, normed, stream)
                                         : run_layers<__nv_bfloat16>(config, weights, state, base, normed, stream);
}

}  // namespace cameo::cuda
