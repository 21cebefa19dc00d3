// The tensor core kernel of skinny_gemm.cu: see there. The decoder's step uses it with an embedding before it or sampling
// behind it.
#pragma once

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/skinny_gemm.h"

namespace cameo::cuda {

constexpr int kSkinnyWarps = 8;

// x[m] = table[tokens[m]] * scale + positions[lengths[m]], in place of x; block 0 also writes it to x_out.
struct SkinnyEmbedding {
  const int32_t* tokens = nullptr;  // null: none
  const int32_t* lengths = nullptr;
  const void* table = nullptr;
  const void* positions = nullptr;
  void* x_out = nullptr;  // [m, k]
  int32_t vocabulary = 0, capacity = 0;
  float scale = 1.f;
};

// The largest of a row's sums becomes the next token (decoder_step.h); y is written only where it is given.
struct SkinnySampling {
  unsigned long long* best = nullptr;  // [m], zero between launches; null: no sampling
  unsigned int* blocks_done = nullptr;
  int32_t* tokens = nullptr;
  int32_t* lengths = nullptr;
  int32_t* done = nullptr;
  int32_t* history = nullptr;
  int64_t history_stride = 0;
  int32_t capacity = 0, end_token = -1;
  float inverse_temperature = 0.f;  // 0: no noise
  uint64_t seed = 0;
};

// Takes a token of sequence m into its state.
__device__ __forceinline__ void choose_token(const SkinnySampling& q, int m, int token) {
  const int length = q.lengths[m];
  if (length >= q.capacity || (q.done && q.done[m])) return;
  q.tokens[m] = token;
  if (q.history) q.history[m * q.history_stride + length] = token;
  q.lengths[m] = length + 1;
  if (q.done && token == q.end_token) q.done[m] = 1;
}

struct SkinnyParams {
  SkinnyGemmArgs a;
  SkinnyEmbedding embedding;
  SkinnySampling sampling;
  int32_t splits = 1;         // of K: blocks of a cluster
  int32_t x_row = 0;          // bytes of a row of x in shared memory
  int32_t gathered = 0;       // where the sums of a cluster's blocks lie in shared memory, in bytes
  int32_t group_shift = 0;    // the logarithm of the group's size; 31: one group
  int32_t share = 0;          // sums that a block of a cluster finishes, a multiple of 16
  bool trigger_late = false;  // dependents may start only when all before this kernel is done
};

// Rarely run and long: kept out of the kernels' way through the instruction cache.
static __device__ __noinline__ float gelu(float x) { return 0.5f * x * (1.f + erff(x * 0.70710678118654752f)); }

__device__ __forceinline__ float activate(Activation f, float x) {
  switch (f) {
    case Activation::kRelu:
      return fmaxf(x, 0.f);
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh: {
      const float u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
      return x / (1.f + __expf(-2.f * u));  // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
    }
    case Activation::kSilu:
      return x / (1.f + __expf(-x));
    default:
      return x;
  }
}

// Weights of a lane: 16 bytes of a row, as LC times 8 numbers; 8 numbers are 4 registers of two. Of the 8, register i holds
// 2 i and 2 i + 1; of half bytes i and i + 4.
template <typename T, WeightFormat F>
struct Weights;
template <typename T>
struct Weights<T, WeightFormat::kPlain> {
  static constexpr int kPer16 = 8;
  static __device__ __forceinline__ void unpack(const uint4& raw, int, uint32_t, uint32_t, uint32_t* r) {
    r[0] = raw.x, r[1] = raw.y, r[2] = raw.z, r[3] = raw.w;
  }
};

template <typename T>
__device__ __forceinline__ uint32_t sub_mul2(uint32_t x, uint32_t minus, uint32_t by);
template <>
__device__ __forceinline__ uint32_t sub_mul2<__half>(uint32_t x, uint32_t minus, uint32_t by) {
  const __half2 h =
      __hmul2(__hsub2(*reinterpret_cast<__half2*>(&x), *reinterpret_cast<__half2*>(&minus)), *reinterpret_cast<__half2*>(&by));
  return *reinterpret_cast<const uint32_t*>(&h);
}
template <>
__device__ __forceinline__ uint32_t sub_mul2<__nv_bfloat16>(uint32_t x, uint32_t minus, uint32_t by) {
  const __nv_bfloat162 h = __hmul2(__hsub2(*reinterpret_cast<__nv_bfloat162*>(&x), *reinterpret_cast<__nv_bfloat162*>(&minus)),
                                   *reinterpret_cast<__nv_bfloat162*>(&by));
  return *reinterpret_cast<const uint32_t*>(&h);
}

template <typename T>
struct Weights<T, WeightFormat::kInt4> {
  static constexpr int kPer16 = 32;
  // 1024 + q in float16 and 128 + q in bfloat16 have q as their lowest bits.
  static constexpr uint32_t kMagic = sizeof(T) == 2 && __is_same(T, __half) ? 0x64006400u : 0x43004300u;
  static __device__ __forceinline__ void unpack(const uint4& raw, int j, uint32_t zero, uint32_t scale, uint32_t* r) {
    const uint32_t w = j == 0 ? raw.x : j == 1 ? raw.y : j == 2 ? raw.z : raw.w;
#pragma unroll
    for (int i = 0; i < 4; ++i) r[i] = sub_mul2<T>(((w >> (4 * i)) & 0x000f000fu) | kMagic, zero, scale);
  }
  // What stands for zero point z, twice.
  static __device__ __forceinline__ uint32_t zero(int z) { return (kMagic + z * 0x00010001u); }
};
template <typename T>
struct Weights<T, WeightFormat::kInt8> {
  static constexpr int kPer16 = 16;
  static __device__ __forceinline__ void unpack(const uint4& raw, int j, uint32_t, uint32_t scale, uint32_t* r) {
    const uint32_t w[2] = {j == 0 ? raw.x : raw.z, j == 0 ? raw.y : raw.w};
    if constexpr (__is_same(T, __half)) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t u = w[i / 2] ^ 0x80808080u;  // q + 128: 1024 + that, less 1152
        r[i] = sub_mul2<T>(__byte_perm(u, 0x64646464u, i % 2 ? 0x4342 : 0x4140), 0x64806480u, scale);
      }
    } else {
      const float s = unpack2<T>(scale).x;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int a = static_cast<int8_t>(w[i / 2] >> (i % 2 * 16)), b = static_cast<int8_t>(w[i / 2] >> (i % 2 * 16 + 8));
        r[i] = pack2<T>(a * s, b * s);
      }
    }
  }
};

// The place of 8 numbers, chunk c of a row of x, in shared memory: the chunks that a lane's 16 bytes of weights meet stand
// 4 apart, so that the lanes of a fragment read 64 bytes in a row.
template <int LC>
__device__ __forceinline__ int x_chunk(int c) {
  if constexpr (LC == 1) return c;
  const int in = c % (4 * LC);
  return c - in + in % LC * 4 + in / LC;
}
// For half bytes the 8 numbers stand as 0 4 1 5 2 6 3 7.
template <WeightFormat F>
__device__ __forceinline__ uint4 x_order(uint4 v) {
  if constexpr (F != WeightFormat::kInt4) return v;
  return {__byte_perm(v.x, v.z, 0x5410), __byte_perm(v.x, v.z, 0x7632), __byte_perm(v.y, v.w, 0x5410), __byte_perm(v.y, v.w, 0x7632)};
}

__device__ __forceinline__ unsigned long long sampling_key(float v, int n) {
  uint32_t u = __float_as_uint(v);
  u = u & 0x80000000u ? ~u : u | 0x80000000u;
  return (static_cast<unsigned long long>(u) << 32) | ~static_cast<uint32_t>(n);
}
// Noise of the Gumbel distribution from a counter.
__device__ __forceinline__ float gumbel(uint64_t seed, uint32_t length, uint32_t m, uint32_t n) {
  uint64_t x = seed ^ (static_cast<uint64_t>(length) << 38) ^ (static_cast<uint64_t>(m) << 32) ^ n;
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  const float u = (static_cast<float>(static_cast<uint32_t>((x ^ (x >> 31)) >> 40)) + 0.5f) * 0x1p-24f;
  return -__logf(-__logf(u));
}

// Rarely run: kept out of the way.
static __device__ __noinline__ float with_noise(const SkinnySampling& q, float v, int m, int n) {
  return v * q.inverse_temperature + gumbel(q.seed, q.lengths[m], m, n);
}

// How x gets to shared memory.
enum class Prologue {
  kCopy,    // as it is
  kPieces,  // normalised; the block's warps share each row: up to 8 pieces of 256 numbers in all
  kRows,    // normalised, a warp a row; up to 1024 numbers
  kLong,    // normalised, a warp a row, from shared memory
};

// A case of the kernel. WARPS: of a block, each has tiles of 8 HALVES rows of W, K is dealt out to WK of them. NT: tiles of 8
// rows of x. P: 16-byte pieces per row of W in flight.
template <int NT_, int WARPS_, int WK_, int HALVES_, int P_, Prologue PRE_, bool EMBED_ = false, bool SAMPLE_ = false>
struct SkinnyCase {
  static constexpr int NT = NT_, WARPS = WARPS_, WK = WK_, HALVES = HALVES_, P = P_;
  static constexpr Prologue PRE = PRE_;
  static constexpr bool EMBED = EMBED_, SAMPLE = SAMPLE_;
  static constexpr int resident(bool plain) { return !plain && NT >= 8 ? 1 : WARPS > 8 ? (HALVES > 2 ? 1 : 2) : P > 3 ? 2 : 3; }
};

// The code is kept small and straight: in a chain of short kernels each runs from a cold instruction cache.
template <typename T, WeightFormat F, typename C>
__global__ void __launch_bounds__(32 * C::WARPS, C::resident(F == WeightFormat::kPlain))
    skinny_gemm_kernel(const __grid_constant__ SkinnyParams p) {
  using W = Weights<T, F>;
  constexpr int NT = C::NT, WARPS = C::WARPS, WK = C::WK, HALVES = C::HALVES, P = C::P;
  constexpr Prologue PRE = C::PRE;
  constexpr bool EMBED = C::EMBED;
  constexpr int WR = WARPS / WK, LC = W::kPer16 / 8, BLOCK = 4 * W::kPer16, ROWS = 8 * HALVES, PAIRS = (HALVES + 1) / 2, TILE = ROWS * WR,
                THREADS = 32 * WARPS;
  constexpr int LDR = ROWS > 16 ? ROWS + 4 : 20;  // a column of partial sums: a tile's rows and a pad against bank conflicts
  constexpr bool kAlias = NT >= 8;                // partial sums take the place of x: one tile per block
  constexpr bool kSplits = PRE == Prologue::kCopy && WK > 1 && HALVES == 2;
  extern __shared__ __align__(16) unsigned char skinny_shared[];
  const SkinnyGemmArgs& a = p.a;
  if (!p.trigger_late) launch_dependents();
  const bool clustered = kSplits && p.splits > 1;
  if (clustered) cluster_arrive();  // waited for before the first store to another block
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3, wk = warp % WK, wr = warp / WK;
  const int split = clustered ? cluster_rank() : 0, splits = clustered ? p.splits : 1;
  const int first_tile = clustered ? blockIdx.x / splits : blockIdx.x, tile_step = clustered ? gridDim.x / splits : gridDim.x;
  const int tiles = (a.n + TILE - 1) / TILE, all_blocks = a.k / BLOCK;
  const int block0 = clustered ? all_blocks * split / splits : 0,
            blocks = clustered ? all_blocks * (split + 1) / splits - block0 : all_blocks;
  const int chunks = (blocks + WK * P - 1) / (WK * P);

  uint4 raw[P][HALVES] = {};
  uint32_t scale[P][HALVES] = {}, zero[P][HALVES] = {};
  const uint8_t* from[HALVES];
  const int64_t w_row = static_cast<int64_t>(all_blocks) * 64;  // bytes
  const uint16_t* scales[HALVES];
  const uint8_t* zeros[HALVES];
  const auto set_tile = [&](int tile) {
#pragma unroll
    for (int half = 0; half < HALVES; ++half) {
      const int n = min(tile * TILE + wr * ROWS + g + half * 8, a.n - 1);
      from[half] = static_cast<const uint8_t*>(a.w) + n * w_row + (block0 + wk) * 64 + t * 16;
      if constexpr (F != WeightFormat::kPlain) {
        const int groups = a.k / a.group;
        scales[half] = static_cast<const uint16_t*>(a.scales) + static_cast<int64_t>(n) * groups;
        if constexpr (F == WeightFormat::kInt4) zeros[half] = a.zeros + static_cast<int64_t>(n) * ((groups + 1) / 2);
      }
    }
  };
  const auto fetch = [&](int slot, int chunk, bool valid) {
    const int block = (chunk * P + slot) * WK + wk;
    valid = valid && block < blocks;
#pragma unroll
    for (int half = 0; half < HALVES; ++half) {
      load_stream_if(raw[slot][half], from[half] + (chunk * P + slot) * (WK * 64), valid);
      if constexpr (F != WeightFormat::kPlain) {  // read where !valid too, from somewhere in the row
        const int group = ((block0 + min(block, blocks - 1)) * BLOCK + t * W::kPer16) >> p.group_shift;
        scale[slot][half] = scales[half][group] * 0x00010001u;
        if constexpr (F == WeightFormat::kInt4) zero[slot][half] = W::zero(a.zeros ? (zeros[half][group / 2] >> (group % 2 * 4)) & 15 : 8);
      }
    }
  };
  set_tile(first_tile);
#pragma unroll
  for (int s = 0; s < P; ++s) fetch(s, 0, true);

  T* xs = reinterpret_cast<T*>(skinny_shared);
  const int x_row = p.x_row / static_cast<int>(sizeof(T));
  T* norms = xs + a.m * x_row;  // weight and bias of the norm
  float* red = reinterpret_cast<float*>(kAlias ? xs : norms + (PRE == Prologue::kCopy ? 0 : 2 * a.k));
  const int kc0 = block0 * (BLOCK / 8), kc = blocks * (BLOCK / 8);  // chunks of 8 numbers: first, count
  if constexpr (PRE != Prologue::kCopy)
    for (int c = tid; c < kc; c += THREADS) {
      copy_async16(norms + c * 8, static_cast<const T*>(a.norm_weight) + c * 8, true);
      copy_async16(norms + a.k + c * 8, static_cast<const T*>(a.norm_bias ? a.norm_bias : a.norm_weight) + c * 8, a.norm_bias != nullptr);
    }

  // A thread's results: sums i, i + THREADS, ... of the tile, [x row][W row]: all of one row of W. SwiGLU joins sums 8 rows
  // apart. Bias and the first residuals are read early.
  const bool glu = a.activation == Activation::kSwiGlu;
  const int begin = clustered ? split * p.share : 0, end = clustered ? min(begin + p.share, TILE * a.m) : TILE * a.m;
  const auto column = [&](int tile, int row) { return glu ? tile * (TILE / 2) + row / 16 * 8 + row % 8 : tile * TILE + row; };
  const int row0 = (begin + tid) % TILE, m0 = (begin + tid) / TILE, n0 = first_tile * TILE + row0;
  const bool early = WK > 1 && begin + tid < end && n0 < a.n && !(glu && row0 % 16 >= 8);
  const float bias0 = early && a.bias ? to_float(static_cast<const T*>(a.bias)[n0]) : 0.f;

  wait_for_predecessor();
  if (p.trigger_late) launch_dependents();
  constexpr int EARLY = NT >= 8 ? 4 : 1;
  float residuals[EARLY];
#pragma unroll
  for (int j = 0; j < EARLY; ++j) {
    residuals[j] = 0.f;
    if (early && a.residual && begin + tid + j * THREADS < end)
      residuals[j] =
          to_float(static_cast<const T*>(a.residual)[(m0 + j * (THREADS / TILE)) * a.residual_stride + column(first_tile, row0)]);
  }

  // x, normalised, in shared memory.
  const SkinnyEmbedding& e = p.embedding;
  const auto load_x = [&](int m, int c) -> uint4 {
    if constexpr (!EMBED) return load_fresh(static_cast<const T*>(a.x) + m * a.x_stride + c * 8);
    const int token = min(max(e.tokens[m], 0), e.vocabulary - 1), position = min(max(e.lengths[m], 0), e.capacity - 1);
    float f[8], q[8] = {};
    unpack16<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(e.table) + static_cast<int64_t>(token) * a.k + c * 8), f);
    if (e.positions)
      unpack16<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(e.positions) + static_cast<int64_t>(position) * a.k + c * 8), q);
#pragma unroll
    for (int i = 0; i < 8; ++i) f[i] = f[i] * e.scale + q[i];
    const uint4 v = pack16<T>(f);
    if (blockIdx.x == 0) *reinterpret_cast<uint4*>(static_cast<T*>(e.x_out) + m * static_cast<int64_t>(a.k) + c * 8) = v;
    return v;
  };
  const auto store_x = [&](int m, int c, const uint4& v) {
    *reinterpret_cast<uint4*>(xs + m * x_row + x_chunk<LC>(c) * 8) = x_order<F>(v);
  };
  const auto normalised = [&](const uint4& v, int c, float mean, float inverse) {
    float f[8], w[8], b[8];
    unpack16<T>(v, f);
    unpack16<T>(*reinterpret_cast<const uint4*>(norms + c * 8), w);
    unpack16<T>(*reinterpret_cast<const uint4*>(norms + a.k + c * 8), b);
#pragma unroll
    for (int i = 0; i < 8; ++i) f[i] = (f[i] - mean) * inverse * w[i] + b[i];
    return pack16<T>(f);
  };
  // The rows of the norm's result are written by a block each.
  const auto writes = [&](int m) { return a.normalised && m % static_cast<int>(gridDim.x) == static_cast<int>(blockIdx.x); };
  const auto finish_x = [&](int m, int c, const uint4& v, float mean, float inverse) {
    const uint4 n = normalised(v, c, mean, inverse);
    store_x(m, c, n);
    if (writes(m)) *reinterpret_cast<uint4*>(static_cast<T*>(a.normalised) + m * static_cast<int64_t>(a.k) + c * 8) = n;
  };
  // Sums and squares in one pass: x of 16 bits holds no more digits than that keeps.
  const auto add = [&](const uint4& v, float& sum, float& squares) {
    float f[8];
    unpack16<T>(v, f);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += f[i], squares += f[i] * f[i];
  };
  const auto inverse_of = [&](float mean, float squares) { return rsqrtf(fmaxf(squares / a.k - mean * mean, 0.f) + a.epsilon); };
  const bool centre = a.norm == NormKind::kLayer;
  if constexpr (PRE == Prologue::kCopy) {
    const auto stage = [&](int m, int c) {
      if constexpr (F == WeightFormat::kInt4)
        store_x(m, c, load_x(m, kc0 + c));
      else
        copy_async16(xs + m * x_row + x_chunk<LC>(c) * 8, static_cast<const T*>(a.x) + m * a.x_stride + (kc0 + c) * 8, true);
    };
    if (NT > 1) {
      for (int m = warp; m < a.m; m += WARPS)
        for (int c = lane; c < kc; c += 32) stage(m, c);
    } else {
      for (int m = 0; m < a.m; ++m)
        for (int c = tid; c < kc; c += THREADS) stage(m, c);
    }
    copy_async_wait_all();
  } else if constexpr (PRE == Prologue::kPieces) {
    auto* sums = reinterpret_cast<float2*>(red);
    const int parts = (kc + 31) / 32, m = warp / parts, c = warp % parts * 32 + lane;
    uint4 v{};
    float sum = 0.f, squares = 0.f;
    if (m < a.m && c < kc) v = load_x(m, c);
    add(v, sum, squares);
    sum = warp_sum(sum), squares = warp_sum(squares);
    if (lane == 0) sums[warp] = {sum, squares};
    copy_async_wait_all();
    __syncthreads();
    if (m < a.m) {
      sum = squares = 0.f;
      for (int q = 0; q < parts; ++q) sum += sums[m * parts + q].x, squares += sums[m * parts + q].y;
      const float mean = centre ? sum / a.k : 0.f;
      if (c < kc) finish_x(m, c, v, mean, inverse_of(mean, squares));
    }
  } else if constexpr (PRE == Prologue::kRows) {
    constexpr int R = (8 * NT + WARPS - 1) / WARPS;  // rows of a warp
    uint4 v[R][4];
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        v[i][j] = warp + i * WARPS < a.m && lane + 32 * j < kc ? load_x(warp + i * WARPS, lane + 32 * j) : uint4{};
    copy_async_wait_all();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < R; ++i) {
      float sum = 0.f, squares = 0.f;
#pragma unroll
      for (int j = 0; j < 4; ++j) add(v[i][j], sum, squares);
      const float mean = centre ? warp_sum(sum) / a.k : 0.f, inverse = inverse_of(mean, warp_sum(squares));
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (warp + i * WARPS < a.m && lane + 32 * j < kc) finish_x(warp + i * WARPS, lane + 32 * j, v[i][j], mean, inverse);
    }
  } else {
    copy_async_wait_all();
    __syncthreads();
    for (int m = warp; m < a.m; m += WARPS) {
      uint4* row = reinterpret_cast<uint4*>(xs + m * x_row);
      float sum = 0.f, squares = 0.f;
      for (int c = lane; c < kc; c += 32) add(row[c] = load_x(m, c), sum, squares);
      const float mean = centre ? warp_sum(sum) / a.k : 0.f, inverse = inverse_of(mean, warp_sum(squares));
      // Chunks change places only among those of 16 lanes: all are read before any is written.
      for (int c0 = 0; c0 < kc; c0 += 32) {
        const int c = c0 + lane;
        const uint4 v = c < kc ? row[c] : uint4{};
        __syncwarp();
        if (c < kc) finish_x(m, c, v, mean, inverse);
        __syncwarp();
      }
    }
  }
  __syncthreads();

  float acc[PAIRS][NT][4] = {};
  float best[C::SAMPLE ? NT : 1][2];  // the largest sum so far, and its row of W
  int best_at[C::SAMPLE ? NT : 1][2];
  if constexpr (C::SAMPLE)
#pragma unroll
    for (int i = 0; i < NT; ++i)
      best[i][0] = best[i][1] = -INFINITY, best_at[i][0] = best_at[i][1] = min(first_tile * TILE + wr * ROWS + g, a.n - 1);
  const auto bias_of = [&](int n) { return a.bias && n < a.n ? to_float(static_cast<const T*>(a.bias)[n]) : 0.f; };
  const auto residual_of = [&](int n, int m) {
    return a.residual ? to_float(static_cast<const T*>(a.residual)[m * a.residual_stride + n]) : 0.f;
  };
  const auto emit = [&](int n, int m, float v) {
    if (a.y_float32)
      static_cast<float*>(a.y)[m * a.y_stride + n] = v;
    else
      static_cast<T*>(a.y)[m * a.y_stride + n] = from_float<T>(v);
  };
  int parity = 0;
  for (int tile = first_tile; tile < tiles; tile += tile_step) {
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const bool last = chunk + 1 == chunks;
      const bool more = !last || ((WK == 1 || !kAlias) && tile + tile_step < tiles);
      if (last && more) set_tile(tile + tile_step);
#pragma unroll
      for (int s = 0; s < P; ++s) {
        const int block = (chunk * P + s) * WK + wk;
        if (block < blocks) {
#pragma unroll
          for (int j = 0; j < LC; ++j) {
            uint4 x[NT];
#pragma unroll
            for (int i = 0; i < NT; ++i)
              x[i] = i * 8 + g < a.m ? *reinterpret_cast<const uint4*>(xs + (i * 8 + g) * x_row + block * BLOCK + j * 32 + t * 8) : uint4{};
#pragma unroll
            for (int h = 0; h < PAIRS; ++h) {
              constexpr int kLast = HALVES - 1;
              const bool paired = 2 * h + 1 < HALVES;
              uint32_t w0[4], w1[4] = {};
              W::unpack(raw[s][2 * h], j, zero[s][2 * h], scale[s][2 * h], w0);
              if (paired)
                W::unpack(raw[s][paired ? 2 * h + 1 : kLast], j, zero[s][paired ? 2 * h + 1 : kLast], scale[s][paired ? 2 * h + 1 : kLast],
                          w1);
              const uint32_t f0[4] = {w0[0], w1[0], w0[1], w1[1]}, f1[4] = {w0[2], w1[2], w0[3], w1[3]};
#pragma unroll
              for (int i = 0; i < NT; ++i) {
                mma16816<T>(acc[h][i], f0, x[i].x, x[i].y);
                mma16816<T>(acc[h][i], f1, x[i].z, x[i].w);
              }
            }
          }
        }
        fetch(s, last ? 0 : chunk + 1, more);
      }
    }
    if constexpr (WK == 1) {
#pragma unroll
      for (int i = 0; i < NT; ++i)
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const int m = i * 8 + 2 * t + c, n = tile * TILE + wr * ROWS + g;
          float v[2] = {acc[0][i][c], acc[0][i][2 + c]};
          acc[0][i][c] = acc[0][i][2 + c] = 0.f;
          if (m >= a.m) continue;
          if (a.bias) v[0] += bias_of(n), v[1] += bias_of(n + 8);
          if constexpr (C::SAMPLE) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
              const int at = n + half * 8;
              if (a.y && at < a.n) emit(at, m, v[half]);
              if (p.sampling.inverse_temperature != 0.f) v[half] = with_noise(p.sampling, v[half], m, at);
              if (at < a.n && v[half] > best[i][c]) best[i][c] = v[half], best_at[i][c] = at;
            }
          } else if (glu) {
            const int to = column(tile, wr * ROWS + g);
            if (n < a.n) emit(to, m, activate(Activation::kSilu, v[0]) * v[1] + residual_of(to, m));
          } else {
            if (n < a.n) emit(n, m, activate(a.activation, v[0]) + residual_of(n, m));
            if (n + 8 < a.n) emit(n + 8, m, activate(a.activation, v[1]) + residual_of(n + 8, m));
          }
        }
    } else {
      if (kAlias) __syncthreads();
      float* sums = red + parity * WARPS * a.m * LDR;
      if (!kAlias) parity ^= 1;
#pragma unroll
      for (int i = 0; i < NT; ++i)
#pragma unroll
        for (int c = 0; c < 2 * HALVES; ++c) {
          const int m = i * 8 + 2 * t + (c & 1);
          if (m < a.m) sums[(warp * a.m + m) * LDR + g + (c >> 1) * 8] = acc[c / 4][i][c % 4];
          acc[c / 4][i][c % 4] = 0.f;
        }
      __syncthreads();
      const auto sum_of = [&](int i) {  // over this block's warps
        const int row = i % TILE;
        const float* at = sums + (row / ROWS * WK * a.m + i / TILE) * LDR + row % ROWS;
        float v = 0.f;
#pragma unroll
        for (int w = 0; w < WK; ++w) v += at[w * a.m * LDR];
        return v;
      };
      float* gathered = reinterpret_cast<float*>(skinny_shared + p.gathered);  // [splits][share]; others write it at any time
      if (clustered) {
        // Each block finishes a part of the sums, in the order of the ranks. One tile.
        cluster_wait();
        for (int i = tid; i < TILE * a.m; i += THREADS) {
          const int owner = i / p.share;
          store_remote(remote_address(gathered + split * p.share + (i - owner * p.share), owner), sum_of(i));
        }
        cluster_arrive();
        cluster_wait();
      }
      const int n = tile * TILE + row0, to = column(tile, row0);
      const bool mine = n < a.n && !(glu && row0 % 16 >= 8);
      const float bias = tile == first_tile ? bias0 : bias_of(n), up_bias = glu ? bias_of(n + 8) : 0.f;
      const auto finish = [&](int i, float residual) {
        float v = bias, up = up_bias;
        if (clustered) {
          for (int s = 0; s < splits; ++s) v += gathered[s * p.share + i - begin];
          if (glu)
            for (int s = 0; s < splits; ++s) up += gathered[s * p.share + i - begin + 8];
        } else {
          v += sum_of(i);
          if (glu) up += sum_of(i + 8);
        }
        v = glu ? activate(Activation::kSilu, v) * up : activate(a.activation, v);
        emit(to, i / TILE, v + residual);
      };
      const bool known = tile == first_tile;
      if (mine) {
#pragma unroll
        for (int j = 0; j < EARLY; ++j) {
          const int i = begin + tid + j * THREADS;
          if (i < end) finish(i, known ? residuals[j] : residual_of(to, i / TILE));
        }
#pragma unroll 1
        for (int i = begin + tid + EARLY * THREADS; i < end; i += THREADS) finish(i, residual_of(to, i / TILE));
      }
    }
  }

  if constexpr (C::SAMPLE) {
    const SkinnySampling& q = p.sampling;
    auto* shared_best = reinterpret_cast<unsigned long long*>(red);  // [warps][NT * 8]
    if (kAlias) __syncthreads();
#pragma unroll
    for (int i = 0; i < NT; ++i)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        unsigned long long key = sampling_key(best[i][c], best_at[i][c]);
#pragma unroll
        for (int x = 4; x < 32; x <<= 1) {
          const unsigned long long other = __shfl_xor_sync(~0u, key, x);
          key = other > key ? other : key;
        }
        if (g == 0) shared_best[warp * NT * 8 + i * 8 + 2 * t + c] = key;
      }
    __syncthreads();
    if (tid < a.m) {
      unsigned long long key = 0;
      for (int w = 0; w < WARPS; ++w) key = max(key, shared_best[w * NT * 8 + tid]);
      atomicMax(q.best + tid, key);
      __threadfence();
    }
    __syncthreads();
    __shared__ bool is_last;
    if (tid == 0) is_last = atomicAdd(q.blocks_done, 1u) == gridDim.x - 1;
    __syncthreads();
    if (is_last && tid < a.m) {
      __threadfence();
      choose_token(q, tid, static_cast<int>(~static_cast<uint32_t>(atomicExch(q.best + tid, 0ull))));
      if (tid == 0) *q.blocks_done = 0;
    }
  }
}

// Bytes of a row of x of `k` numbers in shared memory: 64 bytes past a multiple of 128, against bank conflicts.
constexpr int skinny_x_row(int k) { return k * 2 % 128 == 0 ? k * 2 + 64 : k * 2; }

struct SkinnyShape {
  bool rows = false;  // a warp has rows of W of its own and all of K (WK = 1)
  int nt = 1, wk = 8, splits = 1, block = 32, share = 0, gathered = 0;
  Prologue prologue = Prologue::kCopy;
  int warps = 8, halves = 2;
  bool short_k = false;  // 3 pieces in flight are all of a warp's
  size_t shared = 0;
  int grid = 1;
};

// How a product runs; shared > device.shared_memory where it does not fit.
inline SkinnyShape skinny_shape(const SkinnyGemmArgs& a, bool sampling, const DeviceTraits& device) {
  SkinnyShape s;
  s.nt = a.m <= 8 ? 1 : a.m <= 16 ? 2 : 8;
  s.block = a.format == WeightFormat::kPlain ? 32 : a.format == WeightFormat::kInt8 ? 64 : 128;
  s.rows = sampling || a.n >= 128 * 2 * device.multiprocessors;
  s.wk = s.rows ? 1 : s.nt == 8 ? 4 : 8;
  const bool norm = a.norm != NormKind::kNone;
  const int parts = (a.k + 255) / 256;
  if (norm)
    s.prologue = s.nt == 1 && a.m * parts <= kSkinnyWarps ? Prologue::kPieces
                 : s.nt <= 2 && a.k <= 1024               ? Prologue::kRows
                                                          : Prologue::kLong;
  const int blocks = a.k / s.block;
  const bool small = a.format == WeightFormat::kPlain && s.nt <= 2 && !s.rows;
  if (small && !norm && a.activation != Activation::kSwiGlu && a.n <= 8 * device.multiprocessors &&
      (blocks <= 24 || (a.m <= 8 && blocks <= 96))) {
    // Few rows of W: tiles of 8 keep most of the device busy, and need no cluster.
    s.halves = 1;
    if (blocks > 24) s.warps = s.wk = 16;
  }
  if (small && s.prologue == Prologue::kRows && a.m > 8 && blocks <= 48) s.warps = s.wk = 16;
  // One wave of blocks that share no multiprocessor: each has its own x to normalise.
  if (small && norm && s.prologue != Prologue::kLong && a.activation != Activation::kSwiGlu && blocks <= 3 * s.wk && a.m <= s.warps &&
      a.n > 16 * device.multiprocessors && a.n <= 24 * device.multiprocessors)
    s.halves = 3;
  const int tile = 8 * s.halves * (s.warps / s.wk), tiles = (a.n + tile - 1) / tile;
  const auto share = [&](int splits) { return ((tile * a.m + splits - 1) / splits + 15) / 16 * 16; };
  const auto shared = [&](int splits) {
    const size_t x = static_cast<size_t>(a.m) * skinny_x_row((blocks + splits - 1) / splits * s.block) + (norm ? size_t{4} * a.k : 0);
    const size_t sums =
        s.rows ? size_t{8} * s.warps * s.nt * 8 : static_cast<size_t>(s.nt == 8 ? 1 : 2) * s.warps * a.m * (s.halves > 2 ? 28 : 20) * 4;
    return ((s.nt == 8 ? (x > sums ? x : sums) : x + sums) + 15) / 16 * 16;
  };
  const auto gathered = [&](int splits) { return splits > 1 ? size_t{4} * splits * share(splits) : 0; };
  const bool may_split = !s.rows && !norm && s.halves == 2 && device.capability >= 90;
  const auto fits = [&](int splits) { return shared(splits) + gathered(splits) <= static_cast<size_t>(device.shared_memory / 2 - 1024); };
  while (may_split && s.splits < 8 && blocks / (s.splits * 2) >= 1 &&
         ((tiles * s.splits * 2 <= 200 && blocks / (s.splits * 2) >= s.wk) || !fits(s.splits)))
    s.splits *= 2;
  s.share = share(s.splits);
  s.gathered = static_cast<int>(shared(s.splits));
  s.shared = shared(s.splits) + gathered(s.splits);
  s.short_k = small && (blocks + s.splits - 1) / s.splits <= 3 * s.wk;
  // Sums of a cluster and of large x: one tile a block. Else few blocks with x staged once.
  const int resident = s.shared > static_cast<size_t>(device.shared_memory / 2 - 1024) ? 1 : 2;
  if (s.splits > 1 || (s.nt == 8 && !s.rows))
    s.grid = tiles * s.splits;
  else
    s.grid = tiles < 2 * resident * device.multiprocessors && !s.rows
                 ? tiles
                 : (tiles < resident * device.multiprocessors ? tiles : resident * device.multiprocessors);
  return s;
}

// Whether an embedding may stand before the product.
inline bool skinny_embeds(const SkinnyShape& s, const SkinnyGemmArgs& a) {
  return a.format == WeightFormat::kPlain && !s.rows && (s.prologue == Prologue::kPieces || s.prologue == Prologue::kRows);
}

template <typename T, WeightFormat F, int NT>
cudaError_t launch_skinny(const SkinnyShape& s, const SkinnyParams& p, const LaunchShape& shape, cudaStream_t stream) {
  constexpr int WK = NT == 8 ? 4 : 8, P = NT == 8 ? 4 : 6;
  using enum Prologue;
  const auto go = [&](auto c) { return launch(skinny_gemm_kernel<T, F, decltype(c)>, shape, stream, p); };
  if constexpr (F == WeightFormat::kPlain && NT <= 2) {
    if (p.embedding.tokens) {
      if constexpr (NT == 2) {
        if (s.warps == 16)
          return s.halves == 3 ? go(SkinnyCase<NT, 16, 16, 3, 3, kRows, true>{}) : go(SkinnyCase<NT, 16, 16, 2, 3, kRows, true>{});
      } else if (s.halves == 3) {
        return s.prologue == kRows ? go(SkinnyCase<NT, 8, 8, 3, 3, kRows, true>{}) : go(SkinnyCase<NT, 8, 8, 3, 3, kPieces, true>{});
      }
      if (s.prologue == kRows) return go(SkinnyCase<NT, 8, WK, 2, P, kRows, true>{});
      if constexpr (NT == 1) return go(SkinnyCase<NT, 8, WK, 2, P, kPieces, true>{});
    }
    if (s.halves == 1) return s.warps == 8 ? go(SkinnyCase<NT, 8, 8, 1, 3, kCopy>{}) : go(SkinnyCase<NT, 16, 16, 1, 6, kCopy>{});
    if constexpr (NT == 2) {
      if (s.warps == 16) return s.halves == 3 ? go(SkinnyCase<NT, 16, 16, 3, 3, kRows>{}) : go(SkinnyCase<NT, 16, 16, 2, 3, kRows>{});
    } else if (s.halves == 3) {
      return s.prologue == kRows ? go(SkinnyCase<NT, 8, 8, 3, 3, kRows>{}) : go(SkinnyCase<NT, 8, 8, 3, 3, kPieces>{});
    }
    if (s.short_k && s.prologue == kCopy) return go(SkinnyCase<NT, 8, WK, 2, 3, kCopy>{});
    if constexpr (NT == 1) {
      if (s.short_k && s.prologue == kRows) return go(SkinnyCase<NT, 8, WK, 2, 3, kRows>{});
      if (s.short_k && s.prologue == kPieces) return go(SkinnyCase<NT, 8, WK, 2, 3, kPieces>{});
    }
  }
  const auto with_prologue = [&](auto prologue) {
    constexpr Prologue PRE = decltype(prologue)::value;
    if (p.sampling.best) return go(SkinnyCase<NT, 8, 1, 2, P, PRE, false, true>{});
    if (s.rows) return go(SkinnyCase<NT, 8, 1, 2, P, PRE>{});
    return go(SkinnyCase<NT, 8, WK, 2, P, PRE>{});
  };
  if constexpr (NT <= 2)
    if (s.prologue == kRows) return with_prologue(std::integral_constant<Prologue, kRows>{});
  if constexpr (NT == 1)
    if (s.prologue == kPieces) return with_prologue(std::integral_constant<Prologue, kPieces>{});
  if (s.prologue == kCopy) return with_prologue(std::integral_constant<Prologue, kCopy>{});
  return with_prologue(std::integral_constant<Prologue, kLong>{});
}

template <typename T>
cudaError_t run_skinny(SkinnyParams& p, const DeviceTraits& device, cudaStream_t stream) {
  const SkinnyShape s = skinny_shape(p.a, p.sampling.best != nullptr, device);
  const int blocks = p.a.k / s.block;
  p.splits = s.splits, p.share = s.share, p.gathered = s.gathered, p.group_shift = 31;
  if (p.a.group < p.a.k)
    for (p.group_shift = 0; 1 << p.group_shift < p.a.group;) ++p.group_shift;
  p.x_row = skinny_x_row((blocks + s.splits - 1) / s.splits * s.block);
  LaunchShape shape{.grid = dim3(s.grid), .block = dim3(32 * s.warps), .shared = s.shared};
  shape.cluster = s.splits, shape.dependent = p.a.dependent;
  const auto with_format = [&](auto nt) {
    switch (p.a.format) {
      case WeightFormat::kPlain:
        return launch_skinny<T, WeightFormat::kPlain, nt()>(s, p, shape, stream);
      case WeightFormat::kInt8:
        return launch_skinny<T, WeightFormat::kInt8, nt()>(s, p, shape, stream);
      default:
        return launch_skinny<T, WeightFormat::kInt4, nt()>(s, p, shape, stream);
    }
  };
  if (s.nt == 1) return with_format(std::integral_constant<int, 1>{});
  if (s.nt == 2) return with_format(std::integral_constant<int, 2>{});
  return with_format(std::integral_constant<int, 8>{});
}

}  // namespace cameo::cuda
