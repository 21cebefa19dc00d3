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
// where W w and W b do not depend on x and are computed while the kernel before this one still runs. The sums over columns are
// a reduction through shared memory of the cluster: to all blocks up to 2 sequences, else scattered over the blocks, finished
// there, and sent on. Then each block has its rows of the second matrix times what the cluster made.
//
// More than 16 sequences are dealt out in groups to clusters of their own.
//
// Weights, keys and values are on their way before the kernel waits for its predecessor (programmatic dependent launch).
#include "backends/cuda/kernels/decoder_fused.h"

#include <cmath>

#include "backends/cuda/kernels/attention_few.cuh"
#include "backends/cuda/kernels/skinny_gemm.cuh"

namespace cameo::cuda {
namespace {

constexpr int kRanks = 8, kHalfWarps = 12, kHalfThreads = 32 * kHalfWarps, kHead = 64, kMostSequences = 16, kPerLane = 8,
              kMostClusters = 64;

struct HalfArgs {
  SkinnyEmbedding embedding;  // of the first layer; else x and parts
  const float* x;             // [batch, hidden]
  const void* parts;          // [num_parts, batch, hidden], to be added to x
  float* x_out;               // the sum
  void* parts_out;            // [clusters, batch, hidden]
  const void* norm_weight;
  const void* norm_bias;
  const void* w1;  // a cluster has `rows` rows of it
  const void* b1;
  const void* w2;  // [hidden, w2_stride]; a cluster has `inner` columns of it
  const void* b2;
  void* k_cache;  // [batch, heads, capacity, 64]
  void* v_cache;
  const int32_t* lengths;
  int32_t num_parts, batch, group, hidden, rows, inner, w2_stride, heads, capacity;
  float epsilon, scale;  // of attention, times log2(e)
  Activation activation;
  bool first;  // the step's first kernel
};

// Where things lie in shared memory, in bytes.
struct HalfLayout {
  bool whole;     // every block gets all sums of the first product
  int own;        // its rows that a block finishes
  int splits;     // blocks that share the keys of a sequence
  int slots;      // sequences at a time
  int per_block;  // sequences of a block
  int w1, w2, x, norm, sums, received, constants, stats, values, warps, gathered, operand, total;
  __host__ __device__ HalfLayout(bool attention, int m, int slice, int rows, int inner) {
    whole = m <= 2;
    own = whole ? rows : rows / kRanks;
    splits = m == 1 ? 8 : m == 2 ? 4 : m <= 4 ? 2 : 1;
    slots = kRanks / splits;
    per_block = (m + slots - 1) / slots;
    const int columns = m <= 8 ? 8 : 16, most = kHalfThreads * 8 > m * slice ? kHalfThreads * 8 : m * slice;
    int at = 0;
    w1 = at, at += rows * (slice + 8) * 2;
    w2 = at, at += slice * (inner + 8) * 2;
    x = at, at += columns * (slice + 8) * 2;
    norm = at, at += 8 * (slice + 8) * 2;
    sums = at, at += most * 4;
    received = at, at += own * m * kRanks * 4;
    constants = at, at += own * 2 * kRanks * 4;
    stats = at, at += m * 3 * kRanks * 4;
    values = at, at += attention ? m * rows * 4 : 0;
    warps = at, at += attention ? per_block * kHalfWarps * (kHead + 2) * 4 : 0;
    gathered = at, at += attention ? m * splits * (kHead + 2) * 4 : 0;
    at = (at + 15) / 16 * 16;
    operand = at, at += columns * (inner + 8) * 2;
    total = at;
  }
};

__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ __forceinline__ void copy_async_wait_but_one() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }
__device__ __forceinline__ void store_remote16(uint32_t address, uint16_t v) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.shared::cluster.u16 [%0], %1;" ::"r"(address), "h"(v) : "memory");
#endif
}

// Sums x and its parts over columns [first, first + 8 * chunks) of `rows` rows, `groups` partial sums a row, to
// sums[row * groups + group][8 * chunks]. Threads take pieces of 8 columns.
template <typename T>
struct Gather {
  int chunks, groups, at_once;  // groups of a row, rows at a time
  __device__ __forceinline__ Gather(int chunks, int rows, int num_parts) : chunks(chunks) {
    const int all = kHalfThreads / chunks, each = all / rows > 1 ? all / rows : 1;
    groups = num_parts < 1 ? 1 : min(each, num_parts);
    at_once = all / groups;
  }
  __device__ __forceinline__ void run(const SkinnyEmbedding& e, const float* x, const void* parts, int num_parts, int batch, int hidden,
                                      int row0, int rows, int first, float* sums) const {
    const int unit = threadIdx.x / chunks, group = unit % groups, column = first + threadIdx.x % chunks * 8;
    if (unit >= at_once * groups) return;
    for (int row = unit / groups; row < rows; row += at_once) {
      const int64_t at = static_cast<int64_t>(row0 + row) * hidden + column;
      float f[8] = {};
      if (group == 0 && e.tokens) {
        const int token = min(max(e.tokens[row0 + row], 0), e.vocabulary - 1),
                  position = min(max(e.lengths[row0 + row], 0), e.capacity - 1);
        float q[8];
        unpack16<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(e.table) + static_cast<int64_t>(token) * hidden + column), f);
        unpack16<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(e.positions) + static_cast<int64_t>(position) * hidden + column),
                    q);
#pragma unroll
        for (int i = 0; i < 8; ++i) f[i] = f[i] * e.scale + q[i];
      } else if (group == 0) {
        const uint4 low = load_fresh(x + at), high = load_fresh(x + at + 4);
        unpack16<float>(low, f), unpack16<float>(high, f + 4);
      }
      for (int p = group; p < num_parts; p += 4 * groups) {
        uint4 v[4];
#pragma unroll
        for (int j = 0; j < 4; ++j)
          v[j] = p + j * groups < num_parts
                     ? load_fresh(static_cast<const T*>(parts) + static_cast<int64_t>(p + j * groups) * batch * hidden + at)
                     : uint4{};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          float q[8];
          unpack16<T>(v[j], q);
#pragma unroll
          for (int i = 0; i < 8; ++i) f[i] += q[i];
        }
      }
      float4* to = reinterpret_cast<float4*>(sums + (row * groups + group) * chunks * 8 + threadIdx.x % chunks * 8);
      to[0] = {f[0], f[1], f[2], f[3]}, to[1] = {f[4], f[5], f[6], f[7]};
    }
  }
};

template <typename T, bool ATTENTION, int NT>
__global__ void __launch_bounds__(kHalfThreads, 2) half_layer(const __grid_constant__ HalfArgs a) {
  extern __shared__ __align__(16) unsigned char half_shared[];
  if (!a.first) launch_dependents();
  cluster_arrive();
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
  // Clusters of the same weights, one for each group of sequences, follow one another, so that the weights are in the L2 cache.
  const int rank = static_cast<int>(cluster_rank()), groups = (a.batch + a.group - 1) / a.group, unit = blockIdx.x / kRanks;
  const int cluster = unit / groups, row0 = unit % groups * a.group, m = min(a.group, a.batch - row0), slice = a.hidden / kRanks;
  const HalfLayout at(ATTENTION, a.group, slice, a.rows, a.inner);
  T* const w1 = reinterpret_cast<T*>(half_shared + at.w1);
  T* const w2 = reinterpret_cast<T*>(half_shared + at.w2);
  T* const xs = reinterpret_cast<T*>(half_shared + at.x);
  T* const norm = reinterpret_cast<T*>(half_shared + at.norm);
  T* const operand = reinterpret_cast<T*>(half_shared + at.operand);
  float* const sums = reinterpret_cast<float*>(half_shared + at.sums);
  float* const received = reinterpret_cast<float*>(half_shared + at.received);    // [own][m][ranks]
  float* const constants = reinterpret_cast<float*>(half_shared + at.constants);  // [own][2][ranks]: W w, W b
  float* const stats = reinterpret_cast<float*>(half_shared + at.stats);          // [m][3][ranks]: mean, squares, deviation
  float* const values = reinterpret_cast<float*>(half_shared + at.values);        // [m][rows]
  const int stride1 = slice + 8, stride2 = a.inner + 8, chunks1 = slice / 8, chunks2 = a.inner / 8;
  const auto row_of = [&](int i) {  // of w1
    return ATTENTION ? (i / kHead * a.heads + cluster) * kHead + i % kHead : cluster * a.rows + i;
  };

  // Weights.
  for (int i = tid; i < a.rows * chunks1; i += kHalfThreads) {
    const int row = i / chunks1, c = i - row * chunks1;
    copy_async16(w1 + row * stride1 + c * 8,
                 static_cast<const T*>(a.w1) + static_cast<int64_t>(row_of(row)) * a.hidden + rank * slice + c * 8, true);
  }
  for (int c = tid; c < 2 * chunks1; c += kHalfThreads) {
    const int which = c / chunks1, k = (c - which * chunks1) * 8;
    const T* from = static_cast<const T*>(which ? a.norm_bias : a.norm_weight);
    copy_async16(norm + which * stride1 + k, (from ? from : static_cast<const T*>(a.norm_weight)) + rank * slice + k, from != nullptr);
  }
  copy_async_commit();
  for (int i = tid; i < slice * chunks2; i += kHalfThreads) {
    const int row = i / chunks2, c = i - row * chunks2;
    copy_async16(w2 + row * stride2 + c * 8,
                 static_cast<const T*>(a.w2) + static_cast<int64_t>(rank * slice + row) * a.w2_stride + cluster * a.inner + c * 8, true);
  }
  copy_async_commit();
  const int first_row = at.whole ? 0 : rank * at.own;  // of w1's that this block finishes
  const float bias0 = tid < at.own * m && a.b1 ? to_float(static_cast<const T*>(a.b1)[row_of(first_row + tid % at.own)]) : 0.f;

  // Keys and values of this block's first sequence.
  using Queries = FewQueries<T, kHead, 1, kHalfWarps>;
  using L = FewLayout<T, kHead>;
  constexpr int U = Queries::kUnroll, V = L::kVector;
  static_assert(L::kChunks == 1);
  uint4 kp[U][1], vp[U][1];
  Queries state;
  const int slot = rank / at.splits, split = rank % at.splits;
  T *k = nullptr, *v = nullptr;
  int position = 0, j0 = 0, last = 0;
  const auto open = [&](int b) {
    position = min(max(a.lengths[row0 + b], 0), a.capacity);
    const int64_t cache = (static_cast<int64_t>(row0 + b) * a.heads + cluster) * a.capacity * kHead;
    k = static_cast<T*>(a.k_cache) + cache, v = static_cast<T*>(a.v_cache) + cache;
    const int share = (position + at.splits - 1) / at.splits, from = split * share;
    last = min(from + share, position), j0 = from + warp * L::kGroups * U;
    state.template load<U>(kp, k, kHead, j0, last);
    state.template load<U>(vp, v, kHead, j0, last);
  };
  if constexpr (ATTENTION)
    if (!a.first && slot < m) open(slot);

  // What of the first product does not depend on x.
  copy_async_wait_but_one();
  __syncthreads();
  cluster_wait();  // all blocks run
  for (int tile = warp; tile * 16 < a.rows; tile += kHalfWarps) {
    float c[4] = {};
    for (int k0 = 0; k0 < slice; k0 += 16) {
      uint32_t w[4];
      ldmatrix4(w, w1 + (tile * 16 + lane % 16) * stride1 + k0 + lane / 16 * 8);
      const T* from = norm + g * stride1 + k0 + 2 * t;
      mma16816<T>(c, w, *reinterpret_cast<const uint32_t*>(from), *reinterpret_cast<const uint32_t*>(from + 8));
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = tile * 16 + g + (i >> 1) * 8, of_owner = at.whole ? n : n % at.own;
      float* to = constants + (of_owner * 2 + (i & 1)) * kRanks + rank;
      const float value = __shfl_sync(~0u, c[i], lane & ~3);
      if (at.whole)
        for (int r = 2 * t; r < 2 * t + 2; ++r) store_remote(remote_address(to, r), value);
      else if (t == 0)
        store_remote(remote_address(to, n / at.own), value);
    }
  }

  wait_for_predecessor();
  if (a.first) {
    launch_dependents();
    if constexpr (ATTENTION)
      if (slot < m) open(slot);
  }

  // x: its mean and variance in these columns, and what is left of it.
  const Gather<T> gather(chunks1, m, a.num_parts);
  gather.run(a.embedding, a.x, a.parts, a.num_parts, a.batch, a.hidden, row0, m, rank * slice, sums);
  __syncthreads();
  for (int row = warp; row < m; row += kHalfWarps) {
    float x[kPerLane], sum = 0.f, squares = 0.f;
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      const int i = lane + 32 * e;
      x[e] = 0.f;
      if (i < slice)
        for (int p = 0; p < gather.groups; ++p) x[e] += sums[(row * gather.groups + p) * slice + i];
      sum += x[e];
    }
    const float mean = warp_sum(sum) / slice;
#pragma unroll
    for (int e = 0; e < kPerLane; ++e)
      if (lane + 32 * e < slice) squares += (x[e] - mean) * (x[e] - mean);
    squares = warp_sum(squares);
    const float deviation = squares > 0.f ? sqrtf(squares / slice) : 1.f, inverse = 1.f / deviation;
#pragma unroll
    for (int e = 0; e < kPerLane; ++e) {
      const int i = lane + 32 * e;
      if (i >= slice) continue;
      xs[row * stride1 + i] = from_float<T>((x[e] - mean) * inverse * to_float(norm[i]));
      if (cluster == 0) a.x_out[static_cast<int64_t>(row0 + row) * a.hidden + rank * slice + i] = x[e];
    }
    if (lane < 3 * kRanks) {
      const int which = lane / kRanks;
      const float value = which == 0 ? mean : which == 1 ? squares : deviation;
      store_remote(remote_address(stats + (row * 3 + which) * kRanks + rank, lane % kRanks), value);
    }
  }
  __syncthreads();

  // The first product.
  for (int tile = warp; tile * 16 < a.rows; tile += kHalfWarps) {
    float c[NT][4] = {};
    for (int k0 = 0; k0 < slice; k0 += 16) {
      uint32_t w[4];
      ldmatrix4(w, w1 + (tile * 16 + lane % 16) * stride1 + k0 + lane / 16 * 8);
#pragma unroll
      for (int i = 0; i < NT; ++i) {
        const T* from = xs + (i * 8 + g) * stride1 + k0 + 2 * t;
        mma16816<T>(c[i], w, *reinterpret_cast<const uint32_t*>(from), *reinterpret_cast<const uint32_t*>(from + 8));
      }
    }
    if (at.whole) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float value = __shfl_sync(~0u, c[0][i], lane & ~3);
        if ((i & 1) >= m) continue;
        const float* to = received + ((tile * 16 + g + (i >> 1) * 8) * m + (i & 1)) * kRanks + rank;
        for (int r = 2 * t; r < 2 * t + 2; ++r) store_remote(remote_address(to, r), value);
      }
    } else {
#pragma unroll
      for (int i = 0; i < NT; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int n = tile * 16 + g + (j >> 1) * 8, row = i * 8 + 2 * t + (j & 1);
          if (row < m) store_remote(remote_address(received + (n % at.own * m + row) * kRanks + rank, n / at.own), c[i][j]);
        }
    }
  }
  __syncwarp();
  cluster_arrive();
  cluster_wait();

  // Its sums, the norm, the bias, and on to where they are needed.
  const auto sum8 = [](const float* from, float* f) {
    const float4 low = *reinterpret_cast<const float4*>(from), high = *reinterpret_cast<const float4*>(from + 4);
    f[0] = low.x, f[1] = low.y, f[2] = low.z, f[3] = low.w, f[4] = high.x, f[5] = high.y, f[6] = high.z, f[7] = high.w;
    return ((f[0] + f[1]) + (f[2] + f[3])) + ((f[4] + f[5]) + (f[6] + f[7]));
  };
  for (int i = tid; i < at.own * m; i += kHalfThreads) {
    const int row = i / at.own, n = i - row * at.own, all = first_row + n;
    float means[kRanks], squares[kRanks], deviations[kRanks], product[kRanks], ww[kRanks], wb[kRanks];
    const float mean = sum8(stats + row * 3 * kRanks, means) / kRanks;
    float variance = sum8(stats + (row * 3 + 1) * kRanks, squares) / slice;
    sum8(stats + (row * 3 + 2) * kRanks, deviations);
    sum8(received + (n * m + row) * kRanks, product);
    sum8(constants + n * 2 * kRanks, ww);
    float y = 0.f;
#pragma unroll
    for (int r = 0; r < kRanks; ++r) {
      variance += (means[r] - mean) * (means[r] - mean);
      y += product[r] * deviations[r] + (means[r] - mean) * ww[r];
    }
    y = y * rsqrtf(variance / kRanks + a.epsilon) + sum8(constants + (n * 2 + 1) * kRanks, wb);
    y += i == tid ? bias0 : a.b1 ? to_float(static_cast<const T*>(a.b1)[row_of(all)]) : 0.f;
    if constexpr (ATTENTION) {
      float* to = values + row * a.rows + all;
      if (at.whole)
        *to = y;
      else
        for (int s = 0; s < at.splits; ++s) store_remote(remote_address(to, row % at.slots * at.splits + s), y);
    } else {
      const T h = from_float<T>(activate(a.activation, y));
      T* to = operand + row * stride2 + all;
      if (at.whole)
        *to = h;
      else
        for (int r = 0; r < kRanks; ++r) store_remote16(remote_address(to, r), *reinterpret_cast<const uint16_t*>(&h));
    }
  }
  copy_async_wait_all();
  if (at.whole) {
    __syncthreads();
  } else {
    __syncthreads();  // the copies of all threads
    cluster_arrive();
    cluster_wait();
  }

  if constexpr (ATTENTION) {
    constexpr int kRow = kHead + 2;
    float* const warps = reinterpret_cast<float*>(half_shared + at.warps);
    float* const gathered = reinterpret_cast<float*>(half_shared + at.gathered);  // [m][splits][kRow]
    int held = 0;                                                                 // sequences of this block
    for (int b = slot; b < m; b += at.slots, ++held) {
      if (held > 0) {
        state = Queries();
        open(b);
      }
      const float* row = values + b * a.rows;
      const auto piece = [&](int of, float by, float* f) {
#pragma unroll
        for (int e = 0; e < V; ++e) f[e] = row[of * kHead + state.piece(0) + e] * by;
      };
      piece(0, a.scale, state.q[0]);
      if (split == at.splits - 1 && warp == kHalfWarps - 1 && position < a.capacity) {
        uint4 kn[1][1], vn[1][1];
        float f[V];
        piece(1, 1.f, f);
        kn[0][0] = pack16<T>(f);
        piece(2, 1.f, f);
        vn[0][0] = pack16<T>(f);
        if (state.which == 0) {
          *reinterpret_cast<uint4*>(k + static_cast<int64_t>(position) * kHead + state.piece(0)) = kn[0][0];
          *reinterpret_cast<uint4*>(v + static_cast<int64_t>(position) * kHead + state.piece(0)) = vn[0][0];
        }
        state.template add<1>(kn, vn, [&](int, int, float product) { return state.which == 0 ? product : -INFINITY; });
      }
      while (j0 < last) {
        state.template add<U>(kp, vp,
                              [&](int, int u, float product) { return j0 + u * L::kGroups + state.which < last ? product : -INFINITY; });
        j0 += kHalfWarps * L::kGroups * U;
        state.template load<U>(kp, k, kHead, j0, last);
        state.template load<U>(vp, v, kHead, j0, last);
      }
      // The warp's sum.
      float largest = state.m[0];
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, i));
      const float correction = power_of_2(state.m[0] - (largest == -INFINITY ? 0.f : largest));
      float sum = state.l[0] * correction;
#pragma unroll
      for (int i = L::kLanes; i < 32; i <<= 1) sum += __shfl_xor_sync(~0u, sum, i);
      float* to = warps + (held * kHalfWarps + warp) * kRow;
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
    // Adds up rows [part][kRow].
    const auto combine = [](const float* from, int count, int d, float& largest, float& sum) {
      largest = -INFINITY, sum = 0.f;
      float x = 0.f;
      for (int w = 0; w < count; ++w) largest = fmaxf(largest, from[w * kRow + kHead]);
      const float base = largest == -INFINITY ? 0.f : largest;
      for (int w = 0; w < count; ++w) {
        const float correction = power_of_2(from[w * kRow + kHead] - base);
        sum += from[w * kRow + kHead + 1] * correction;
        x += from[w * kRow + d] * correction;
      }
      return x;
    };
    for (int i = 0; i < held; ++i) {
      const int d = tid % kHead;
      float largest, sum;
      const float x = combine(warps + i * kHalfWarps * kRow, kHalfWarps, d, largest, sum);
      const float* to = gathered + ((slot + i * at.slots) * at.splits + split) * kRow;
      for (int r = tid / kHead; r < kRanks; r += kHalfThreads / kHead) {
        const uint32_t address = remote_address(to, r);
        store_remote(address + d * 4, x);
        if (d == 0) store_remote(address + kHead * 4, largest), store_remote(address + kHead * 4 + 4, sum);
      }
    }
    __syncwarp();
    cluster_arrive();
    cluster_wait();
    for (int i = tid; i < m * kHead; i += kHalfThreads) {
      float largest, sum;
      const float x = combine(gathered + i / kHead * at.splits * kRow, at.splits, i % kHead, largest, sum);
      operand[i / kHead * stride2 + i % kHead] = from_float<T>(sum == 0.f ? 0.f : x / sum);
    }
    __syncthreads();
  }

  // The second product.
  for (int tile = warp; tile * 16 < slice; tile += kHalfWarps) {
    float c[2][NT][4] = {};
    for (int k0 = 0; k0 < a.inner; k0 += 32)
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        const int at_k = k0 + odd * 16;
        if (at_k >= a.inner) break;
        uint32_t w[4];
        ldmatrix4(w, w2 + (tile * 16 + lane % 16) * stride2 + at_k + lane / 16 * 8);
#pragma unroll
        for (int i = 0; i < NT; ++i) {
          const T* from = operand + (i * 8 + g) * stride2 + at_k + 2 * t;
          mma16816<T>(c[odd][i], w, *reinterpret_cast<const uint32_t*>(from), *reinterpret_cast<const uint32_t*>(from + 8));
        }
      }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int n = rank * slice + tile * 16 + g + (j >> 1) * 8;
      const float bias = cluster == 0 && a.b2 ? to_float(static_cast<const T*>(a.b2)[n]) : 0.f;
#pragma unroll
      for (int i = 0; i < NT; ++i) {
        const int row = i * 8 + 2 * t + (j & 1);
        if (row < m)
          static_cast<T*>(a.parts_out)[(static_cast<int64_t>(cluster) * a.batch + row0 + row) * a.hidden + n] =
              from_float<T>(c[0][i][j] + c[1][i][j] + bias);
      }
    }
  }
}

struct LastNorm {
  const float* x;
  const void* parts;
  void* y;
  const void* weight;
  const void* bias;
  int32_t num_parts, m, hidden;
  float epsilon;
};

// A block normalises a row.
template <typename T>
__global__ void __launch_bounds__(kHalfThreads) last_norm(const __grid_constant__ LastNorm a) {
  extern __shared__ __align__(16) float last_shared[];  // Gather's sums
  __shared__ float partial[2][kHalfWarps];
  const int tid = threadIdx.x;
  launch_dependents();
  wait_for_predecessor();
  const Gather<T> gather(a.hidden / 8, 1, a.num_parts);
  gather.run({}, a.x, a.parts, a.num_parts, a.m, a.hidden, blockIdx.x, 1, 0, last_shared);
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
    if (i < a.hidden)
      for (int p = 0; p < gather.groups; ++p) x[e] += last_shared[p * a.hidden + i];
    sum += x[e];
  }
  const float mean = block_sum(sum, 0) / a.hidden;
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

// Sequences of a cluster.
int group_of(const DecoderConfig& c) {
  const int groups = (c.batch + kMostSequences - 1) / kMostSequences;
  return (c.batch + groups - 1) / groups;
}

// Clusters that share the inner columns of the feed-forward part; 0: it does not fit.
int inner_clusters(const DecoderConfig& c) {
  for (const int clusters : {16, 12, 20, 24, 32, 48, kMostClusters}) {
    if (c.ffn % (clusters * 16)) continue;
    if (HalfLayout(false, group_of(c), c.hidden / kRanks, c.ffn / clusters, c.ffn / clusters).total <= 112 * 1024) return clusters;
  }
  return 0;
}

// Where things lie in the workspace, in bytes; enough for fewer sequences too.
struct Workspace {
  int64_t x[2], parts[2], total;
  explicit Workspace(const DecoderConfig& c) {
    const int64_t row = int64_t{c.batch} * c.hidden;
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
  const int slice = c.hidden / kRanks, clusters = inner_clusters(c), groups = (c.batch + group_of(c) - 1) / group_of(c);
  const auto x = [&](int i) { return reinterpret_cast<float*>(base + at.x[i]); };
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
    a.num_parts = i == 0 ? 0 : attention ? clusters : c.heads;
    a.batch = c.batch, a.group = group_of(c), a.hidden = c.hidden, a.epsilon = c.epsilon, a.heads = c.heads, a.capacity = c.capacity;
    const DecoderMatrix &first = attention ? layer.qkv : layer.up, &second = attention ? layer.out : layer.down;
    a.w1 = first.w, a.b1 = first.bias, a.w2 = second.w, a.b2 = second.bias;
    a.norm_weight = attention ? layer.norm1_weight : layer.norm2_weight, a.norm_bias = attention ? layer.norm1_bias : layer.norm2_bias;
    a.rows = attention ? 3 * kHead : c.ffn / clusters, a.inner = attention ? kHead : c.ffn / clusters;
    a.w2_stride = attention ? c.heads * kHead : c.ffn;
    a.activation = c.activation, a.lengths = s.lengths, a.k_cache = layer.k_cache, a.v_cache = layer.v_cache;
    a.scale = (c.attention_scale != 0.f ? c.attention_scale : 1.f / std::sqrt(static_cast<float>(kHead))) * kLog2e;
    LaunchShape shape{.grid = dim3((attention ? c.heads : clusters) * groups * kRanks), .block = dim3(kHalfThreads)};
    shape.shared = HalfLayout(attention, a.group, slice, a.rows, a.inner).total;
    shape.cluster = kRanks, shape.dependent = true;
    const auto go = [&](auto kernel) { return launch(kernel, shape, stream, a); };
    const cudaError_t e = attention ? (a.group <= 8 ? go(half_layer<T, true, 1>) : go(half_layer<T, true, 2>))
                                    : (a.group <= 8 ? go(half_layer<T, false, 1>) : go(half_layer<T, false, 2>));
    if (e != cudaSuccess) return e;
  }
  LastNorm n{};
  n.x = x(1), n.parts = base + at.parts[1], n.y = normed, n.weight = w.final_norm_weight, n.bias = w.final_norm_bias;
  n.num_parts = clusters, n.m = c.batch, n.hidden = c.hidden, n.epsilon = c.epsilon;
  LaunchShape shape{.grid = dim3(c.batch), .block = dim3(kHalfThreads)};
  shape.shared = sizeof(float) * 8 * kHalfThreads, shape.dependent = true;
  return launch(last_norm<T>, shape, stream, n);
}

}  // namespace

int64_t decoder_fused_workspace(const DecoderConfig& config) { return Workspace(config).total; }

const char* decoder_fused_refusal(const DecoderConfig& c, const DecoderWeights& w, const DeviceTraits& device) {
  if (device.capability < 90) return "needs compute capability 9.0";
  if (c.type == Scalar::kFloat32) return "needs 16 bits";
  if (c.batch < 1 || c.batch > 64) return "not 1 to 64 sequences";
  if (c.norm != NormKind::kLayer || c.activation == Activation::kSwiGlu || c.rope_cos || !w.position_embedding) return "not like GPT-2";
  if (c.heads != c.kv_heads || c.head_size != kHead) return "heads are not of 64, with keys of their own";
  if (c.hidden % (16 * kRanks) || c.hidden > 32 * kPerLane * kRanks) return "the hidden size is no multiple of 128, or above 2048";
  if (inner_clusters(c) == 0) return "the feed-forward part is not covered";
  if (HalfLayout(true, group_of(c), c.hidden / kRanks, 3 * kHead, kHead).total > 112 * 1024) return "the attention part is not covered";
  for (int i = 0; i < c.layers; ++i) {
    const DecoderLayer& l = w.layers[i];
    for (const DecoderMatrix* matrix : {&l.qkv, &l.out, &l.up, &l.down})
      if (matrix->format != WeightFormat::kPlain) return "weights are quantised";
  }
  return nullptr;
}

cudaError_t decoder_fused_layers(const DecoderConfig& config, const DecoderWeights& weights, const DecoderState& state, void* workspace,
                                 void* normed, cudaStream_t stream) {
  auto* base = static_cast<uint8_t*>(workspace);
  return config.type == Scalar::kFloat16 ? run_layers<__half>(config, weights, state, base, normed, stream)
                                         : run_layers<__nv_bfloat16>(config, weights, state, base, normed, stream);
}

}  // namespace cameo::cuda
