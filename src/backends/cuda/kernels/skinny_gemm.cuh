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
  int32_t splits = 1;  // of K: blocks of a cluster
  int32_t x_row = 0;   // bytes of a row of x in shared memory
  bool trigger_late = false;  // dependents may start only when all before this kernel is done
};

__device__ __forceinline__ float activate(Activation f, float x) {
  switch (f) {
    case Activation::kRelu: return fmaxf(x, 0.f);
    case Activation::kGelu: return 0.5f * x * (1.f + erff(x * 0.70710678118654752f));
    case Activation::kGeluTanh: {
      const float u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
      return x / (1.f + __expf(-2.f * u));  // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
    }
    case Activation::kSilu: return x / (1.f + __expf(-x));
    default: return x;
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
  const __half2 h = __hmul2(__hsub2(*reinterpret_cast<__half2*>(&x), *reinterpret_cast<__half2*>(&minus)), *reinterpret_cast<__half2*>(&by));
  return *reinterpret_cast<const uint32_t*>(&h);
}
template <>
__device__ __forceinline__ uint32_t sub_mul2<__nv_bfloat16>(uint32_t x, uint32_t minus, uint32_t by) {
  const __nv_bfloat162 h =
      __hmul2(__hsub2(*reinterpret_cast<__nv_bfloat162*>(&x), *reinterpret_cast<__nv_bfloat162*>(&minus)), *reinterpret_cast<__nv_bfloat162*>(&by));
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

// 256 threads: WR x WK warps, tiles of 16 rows of W each, K dealt out to WK warps. NT: tiles of 8 rows of x.
template <typename T, WeightFormat F, int NT, int WK>
__global__ void __launch_bounds__(32 * kSkinnyWarps, NT >= 8 && F != WeightFormat::kPlain ? 1 : 2) skinny_gemm_kernel(const __grid_constant__ SkinnyParams p) {
  using W = Weights<T, F>;
  constexpr int WR = kSkinnyWarps / WK, LC = W::kPer16 / 8, BLOCK = 4 * W::kPer16, TILE = 16 * WR;
  constexpr int P = NT >= 8 ? 4 : 6;  // 16-byte pieces per row in flight
  constexpr int LDR = 20;             // a column of partial sums: 16 rows and a pad against bank conflicts
  constexpr bool kAlias = NT >= 8;    // partial sums take the place of x: one tile per block
  extern __shared__ __align__(16) unsigned char skinny_shared[];
  const SkinnyGemmArgs& a = p.a;
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3, wk = warp % WK, wr = warp / WK;
  const int split = p.splits > 1 ? cluster_rank() : 0, first_tile = blockIdx.x / p.splits, tile_step = gridDim.x / p.splits;
  const int tiles = (a.n + TILE - 1) / TILE;
  const int all_blocks = a.k / BLOCK, block0 = static_cast<int>(static_cast<int64_t>(all_blocks) * split / p.splits);
  const int blocks = static_cast<int>(static_cast<int64_t>(all_blocks) * (split + 1) / p.splits) - block0;
  const int steps = (blocks + WK - 1) / WK, chunks = (steps + P - 1) / P;
  const int kc0 = block0 * (BLOCK / 8), kc = blocks * (BLOCK / 8);  // chunks of 8 numbers: first, count
  T* xs = reinterpret_cast<T*>(skinny_shared);
  const int x_row = p.x_row / static_cast<int>(sizeof(T));
  T* norms = xs + static_cast<int64_t>(a.m) * x_row;  // weight and bias of the norm
  float* red = reinterpret_cast<float*>(kAlias ? skinny_shared : reinterpret_cast<unsigned char*>(norms + (a.norm == NormKind::kNone ? 0 : 2 * a.k)));

  if (!p.trigger_late) launch_dependents();
  if (a.norm != NormKind::kNone)
    for (int c = tid; c < a.k / 8; c += blockDim.x) {
      copy_async16(norms + c * 8, static_cast<const T*>(a.norm_weight) + c * 8, true);
      copy_async16(norms + a.k + c * 8, static_cast<const T*>(a.norm_bias ? a.norm_bias : a.norm_weight) + c * 8, a.norm_bias != nullptr);
    }

  uint4 raw[P][2];
  uint32_t scale[P][2], zero[P][2];
  const auto fetch = [&](int slot, int tile, int chunk) {
    const int block = (chunk * P + slot) * WK + wk;
    if (block >= blocks || tile >= tiles) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int n = min(tile * TILE + wr * 16 + half * 8 + g, a.n - 1);
      const int64_t at = static_cast<int64_t>(block0 + block) * BLOCK + t * W::kPer16;  // of the row, in numbers
      constexpr int kPerByte = F == WeightFormat::kInt4 ? 2 : 1, kBytes = F == WeightFormat::kPlain ? 2 : 1;
      raw[slot][half] = load_stream(static_cast<const uint8_t*>(a.w) + (n * static_cast<int64_t>(a.k) + at) * kBytes / kPerByte);
      if constexpr (F != WeightFormat::kPlain) {
        const int groups = a.k / a.group, group = static_cast<int>(at / a.group);
        const uint32_t s = static_cast<const uint16_t*>(a.scales)[static_cast<int64_t>(n) * groups + group];
        scale[slot][half] = s * 0x00010001u;
        if constexpr (F == WeightFormat::kInt4) {
          int z = 8;
          if (a.zeros) z = (a.zeros[static_cast<int64_t>(n) * ((groups + 1) / 2) + group / 2] >> (group % 2 * 4)) & 15;
          zero[slot][half] = W::zero(z);
        }
      }
    }
  };
#pragma unroll
  for (int s = 0; s < P; ++s) fetch(s, first_tile, 0);

  // Bias and residual of a thread's first result: read early.
  const bool glu = a.activation == Activation::kSwiGlu;
  const int columns = glu ? TILE / 2 : TILE, result0 = p.splits == 1 ? tid : tid * p.splits + split;
  const int row0 = glu ? result0 % columns / 8 * 16 + result0 % 8 : result0 % columns, n0 = first_tile * TILE + row0;
  const bool has0 = WK > 1 && result0 < columns * a.m && n0 < a.n;
  const float bias0 = has0 && a.bias ? to_float(static_cast<const T*>(a.bias)[n0]) : 0.f;

  wait_for_predecessor();
  if (p.trigger_late) launch_dependents();
  const int64_t y0 = glu ? first_tile * columns + result0 % columns : n0;
  const float residual0 = has0 && a.residual ? to_float(static_cast<const T*>(a.residual)[result0 / columns * a.residual_stride + y0]) : 0.f;

  // x, normalised, in shared memory.
  const SkinnyEmbedding& e = p.embedding;
  const auto load_x = [&](int m, int c) -> uint4 {
    if (!e.tokens) return load_fresh(static_cast<const T*>(a.x) + m * a.x_stride + c * 8);
    const int token = min(max(e.tokens[m], 0), e.vocabulary - 1), position = min(max(e.lengths[m], 0), e.capacity - 1);
    float f[8];
    unpack16<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(e.table) + static_cast<int64_t>(token) * a.k + c * 8), f);
#pragma unroll
    for (int i = 0; i < 8; ++i) f[i] *= e.scale;
    if (e.positions) {
      float q[8];
      unpack16<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(e.positions) + static_cast<int64_t>(position) * a.k + c * 8), q);
#pragma unroll
      for (int i = 0; i < 8; ++i) f[i] += q[i];
    }
    return pack16<T>(f);
  };
  const auto store_x = [&](int m, int c, const uint4& v) { *reinterpret_cast<uint4*>(xs + m * x_row + x_chunk<LC>(c) * 8) = x_order<F>(v); };
  const auto normalised = [&](const uint4& v, int c, float mean, float inverse) {
    float f[8], w[8], b[8];
    unpack16<T>(v, f);
    unpack16<T>(*reinterpret_cast<const uint4*>(norms + c * 8), w);
    unpack16<T>(*reinterpret_cast<const uint4*>(norms + a.k + c * 8), b);
#pragma unroll
    for (int i = 0; i < 8; ++i) f[i] = (f[i] - mean) * inverse * w[i] + b[i];
    return pack16<T>(f);
  };
  const auto keep_embedded = [&](int m, int c, const uint4& v) {
    if (e.tokens && blockIdx.x == 0) *reinterpret_cast<uint4*>(static_cast<T*>(e.x_out) + m * static_cast<int64_t>(a.k) + c * 8) = v;
  };
  constexpr int HELD = 6;  // chunks of a lane in registers
  const int parts = (kc + 31) / 32, units = a.m * parts;
  if (a.norm == NormKind::kNone) {
    const auto stage = [&](int m, int c) {
      if (F != WeightFormat::kInt4 && !e.tokens) {
        copy_async16(xs + m * x_row + x_chunk<LC>(c) * 8, static_cast<const T*>(a.x) + m * a.x_stride + (kc0 + c) * 8, true);
      } else {
        const uint4 v = load_x(m, kc0 + c);
        keep_embedded(m, kc0 + c, v);
        store_x(m, c, v);
      }
    };
    if (a.m >= kSkinnyWarps) {
      for (int m = warp; m < a.m; m += kSkinnyWarps)
        for (int c = lane; c < kc; c += 32) stage(m, c);
    } else {
      for (int m = 0; m < a.m; ++m)
        for (int c = tid; c < kc; c += blockDim.x) stage(m, c);
    }
    copy_async_wait_all();
  } else if (!kAlias && units <= HELD * kSkinnyWarps) {
    // Pieces of 256 numbers are dealt out to the warps; sums and squares in one pass, for x of 16 bits holds no more digits.
    auto* sums = reinterpret_cast<float2*>(red);
    uint4 v[HELD];
#pragma unroll
    for (int j = 0; j < HELD; ++j) {
      const int u = warp + j * kSkinnyWarps, c = u % parts * 32 + lane;
      if (u >= units) break;
      v[j] = c < kc ? load_x(u / parts, c) : uint4{};
    }
#pragma unroll
    for (int j = 0; j < HELD; ++j) {
      const int u = warp + j * kSkinnyWarps, c = u % parts * 32 + lane;
      if (u >= units) break;
      float f[8], sum = 0.f, squares = 0.f;
      unpack16<T>(v[j], f);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum += f[i], squares += f[i] * f[i];
      sum = warp_sum(sum), squares = warp_sum(squares);
      if (lane == 0) sums[u] = {sum, squares};
      if (c < kc) keep_embedded(u / parts, c, v[j]);
    }
    copy_async_wait_all();
    __syncthreads();
#pragma unroll
    for (int j = 0; j < HELD; ++j) {
      const int u = warp + j * kSkinnyWarps, c = u % parts * 32 + lane, m = u / parts;
      if (u >= units) break;
      float sum = 0.f, squares = 0.f;
      for (int q = 0; q < parts; ++q) sum += sums[m * parts + q].x, squares += sums[m * parts + q].y;
      const float mean = a.norm == NormKind::kLayer ? sum / a.k : 0.f;
      const float inverse = rsqrtf(fmaxf(squares / a.k - mean * mean, 0.f) + a.epsilon);
      if (c < kc) store_x(m, c, normalised(v[j], c, mean, inverse));
    }
  } else {
    copy_async_wait_all();
    __syncthreads();
    for (int m = warp; m < a.m; m += kSkinnyWarps) {
      uint4* row = reinterpret_cast<uint4*>(xs + m * x_row);
      float sum = 0.f, squares = 0.f, f[8];
      for (int c = lane; c < kc; c += 32) {
        const uint4 v = load_x(m, c);
        keep_embedded(m, c, v);
        row[c] = v;
        unpack16<T>(v, f);
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += f[i];
      }
      const float mean = a.norm == NormKind::kLayer ? warp_sum(sum) / a.k : 0.f;
      for (int c = lane; c < kc; c += 32) {
        unpack16<T>(row[c], f);
#pragma unroll
        for (int i = 0; i < 8; ++i) squares += (f[i] - mean) * (f[i] - mean);
      }
      const float inverse = rsqrtf(warp_sum(squares) / a.k + a.epsilon);
      // Chunks change places only among those of 16 lanes: all are read before any is written.
      for (int c0 = 0; c0 < kc; c0 += 32) {
        const int c = c0 + lane;
        const uint4 v = c < kc ? row[c] : uint4{};
        __syncwarp();
        if (c < kc) store_x(m, c, normalised(v, c, mean, inverse));
        __syncwarp();
      }
    }
  }
  __syncthreads();

  float acc[NT][4] = {};
  unsigned long long best[NT][2] = {};
  const auto residual_of = [&](int n, int m) { return a.residual ? to_float(static_cast<const T*>(a.residual)[m * a.residual_stride + n]) : 0.f; };
  const auto emit = [&](int n, int m, float v, float residual) {  // a result in column n (SwiGLU: already joined)
    static_cast<T*>(a.y)[m * a.y_stride + n] = from_float<T>(v + residual);
  };
  const auto bias_of = [&](int n) { return a.bias && n < a.n ? to_float(static_cast<const T*>(a.bias)[n]) : 0.f; };
  int parity = 0;
  for (int tile = first_tile; tile < tiles; tile += tile_step) {
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const bool last = chunk + 1 == chunks;
#pragma unroll
      for (int s = 0; s < P; ++s) {
        const int block = (chunk * P + s) * WK + wk;
        if (block < blocks) {
#pragma unroll
          for (int j = 0; j < LC; ++j) {
            uint32_t w0[4], w1[4];
            W::unpack(raw[s][0], j, zero[s][0], scale[s][0], w0);
            W::unpack(raw[s][1], j, zero[s][1], scale[s][1], w1);
            const uint32_t f0[4] = {w0[0], w1[0], w0[1], w1[1]}, f1[4] = {w0[2], w1[2], w0[3], w1[3]};
#pragma unroll
            for (int i = 0; i < NT; ++i) {
              uint4 x{};
              if (i * 8 + g < a.m) x = *reinterpret_cast<const uint4*>(xs + (i * 8 + g) * x_row + block * BLOCK + j * 32 + t * 8);
              mma16816<T>(acc[i], f0, x.x, x.y);
              mma16816<T>(acc[i], f1, x.z, x.w);
            }
          }
        }
        if (WK == 1 || !kAlias || !last) fetch(s, last ? tile + tile_step : tile, last ? 0 : chunk + 1);
      }
    }
    if constexpr (WK == 1) {
#pragma unroll
      for (int i = 0; i < NT; ++i)
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const int m = i * 8 + 2 * t + c, n = tile * TILE + wr * 16 + g;
          float v[2] = {acc[i][c] + bias_of(n), acc[i][2 + c] + bias_of(n + 8)};
          acc[i][c] = acc[i][2 + c] = 0.f;
          if (m >= a.m) continue;
          if (p.sampling.best) {
            const float noise = p.sampling.inverse_temperature;
#pragma unroll
            for (int half = 0; half < 2; ++half) {
              const int at = n + half * 8;
              if (at >= a.n) continue;
              if (a.y) static_cast<T*>(a.y)[m * a.y_stride + at] = from_float<T>(v[half]);
              if (noise != 0.f) v[half] = v[half] * noise + gumbel(p.sampling.seed, p.sampling.lengths[m], m, at);
              const unsigned long long key = sampling_key(v[half], at);
              best[i][c] = key > best[i][c] ? key : best[i][c];
            }
          } else if (glu) {
            const int to = tile * columns + wr * 8 + g;
            if (n < a.n) emit(to, m, activate(Activation::kSilu, v[0]) * v[1], residual_of(to, m));
          } else {
            if (n < a.n) emit(n, m, activate(a.activation, v[0]), residual_of(n, m));
            if (n + 8 < a.n) emit(n + 8, m, activate(a.activation, v[1]), residual_of(n + 8, m));
          }
        }
    } else {
      if (kAlias) __syncthreads();
      float* sums = red + parity * kSkinnyWarps * a.m * LDR;
      if (!kAlias) parity ^= 1;
#pragma unroll
      for (int i = 0; i < NT; ++i)
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int m = i * 8 + 2 * t + (c & 1);
          if (m < a.m) sums[(warp * a.m + m) * LDR + g + (c >> 1) * 8] = acc[i][c];
          acc[i][c] = 0.f;
        }
      __syncthreads();
      const auto sum_of = [&](int r, int m) {  // of row r of the tile, over this block's warps
        float v = 0.f;
#pragma unroll
        for (int w = 0; w < WK; ++w) v += sums[((r / 16 * WK + w) * a.m + m) * LDR + r % 16];
        return v;
      };
      const auto finish = [&](auto&& sum) {
        for (int i = result0; i < columns * a.m; i += blockDim.x * p.splits) {
          const int m = i / columns, r = i % columns, row = glu ? r / 8 * 16 + r % 8 : r, n = tile * TILE + row;
          if (n >= a.n) continue;
          const bool known = i == result0 && tile == first_tile;
          const int to = glu ? tile * columns + r : n;
          float v = sum(row, m) + (known ? bias0 : bias_of(n));
          v = glu ? activate(Activation::kSilu, v) * (sum(row + 8, m) + bias_of(n + 8)) : activate(a.activation, v);
          emit(to, m, v, known ? residual0 : residual_of(to, m));
        }
      };
      if (p.splits == 1) {
        finish(sum_of);
      } else {
        // The cluster's blocks add up their sums in the order of their ranks; each finishes a part of the columns. One tile.
        float* own = red + (kAlias ? 1 : 2) * kSkinnyWarps * a.m * LDR;
        for (int i = tid; i < TILE * a.m; i += blockDim.x) own[i] = sum_of(i % TILE, i / TILE);
        cluster_sync();
        finish([&](int r, int m) {
          float v = 0.f;
          for (int s = 0; s < p.splits; ++s) v += load_remote(remote_address(own + m * TILE + r, s));
          return v;
        });
        cluster_sync();
      }
    }
  }

  if (WK == 1 && p.sampling.best) {
    const SkinnySampling& q = p.sampling;
    auto* shared_best = reinterpret_cast<unsigned long long*>(red);  // [warps][NT * 8]
    if (kAlias) __syncthreads();
#pragma unroll
    for (int i = 0; i < NT; ++i)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        unsigned long long key = best[i][c];
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
      for (int w = 0; w < kSkinnyWarps; ++w) key = max(key, shared_best[w * NT * 8 + tid]);
      atomicMax(q.best + tid, key);
      __threadfence();
    }
    __syncthreads();
    __shared__ bool is_last;
    if (tid == 0) is_last = atomicAdd(q.blocks_done, 1u) == gridDim.x - 1;
    __syncthreads();
    if (is_last && tid < a.m) {
      __threadfence();
      const int token = static_cast<int>(~static_cast<uint32_t>(atomicExch(q.best + tid, 0ull)));
      choose_token(q, tid, token);
      if (tid == 0) *q.blocks_done = 0;
    }
  }
}

// Bytes of a row of x of `k` numbers in shared memory: 64 bytes past a multiple of 128, against bank conflicts.
constexpr int skinny_x_row(int k) { return k * 2 % 128 == 0 ? k * 2 + 64 : k * 2; }

struct SkinnyShape {
  bool rows = false;  // a warp has rows of W of its own and all of K (WK = 1)
  int nt = 1, wk = 8, splits = 1, block = 32;
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
  const int tile = 16 * (kSkinnyWarps / s.wk), tiles = (a.n + tile - 1) / tile, blocks = a.k / s.block;
  const auto shared = [&](int splits) {
    const size_t x = static_cast<size_t>(a.m) * skinny_x_row((blocks + splits - 1) / splits * s.block) + (a.norm == NormKind::kNone ? 0 : size_t{4} * a.k);
    const size_t sums = s.rows ? size_t{8} * kSkinnyWarps * s.nt * 8
                               : static_cast<size_t>(s.nt == 8 ? 1 : 2) * kSkinnyWarps * a.m * 20 * 4 + (splits > 1 ? size_t{4} * tile * a.m : 0);
    return s.nt == 8 ? (x > sums ? x : sums) : x + sums;
  };
  const bool may_split = !s.rows && a.norm == NormKind::kNone && device.capability >= 90;
  const auto fits = [&](int splits) { return shared(splits) <= static_cast<size_t>(device.shared_memory / 2 - 1024); };
  while (may_split && s.splits < 8 && blocks / (s.splits * 2) >= 1 &&
         ((tiles * s.splits * 2 <= 200 && blocks / (s.splits * 2) >= s.wk) || !fits(s.splits)))
    s.splits *= 2;
  s.shared = shared(s.splits);
  // Sums of a cluster and of large x: one tile a block. Else few blocks with x staged once.
  const int resident = s.shared > static_cast<size_t>(device.shared_memory / 2 - 1024) ? 1 : 2;
  if (s.splits > 1 || (s.nt == 8 && !s.rows)) s.grid = tiles * s.splits;
  else s.grid = tiles < 2 * resident * device.multiprocessors && !s.rows ? tiles : (tiles < resident * device.multiprocessors ? tiles : resident * device.multiprocessors);
  return s;
}

template <typename T>
cudaError_t run_skinny(SkinnyParams& p, const DeviceTraits& device, cudaStream_t stream) {
  const SkinnyShape s = skinny_shape(p.a, p.sampling.best != nullptr, device);
  const int blocks = p.a.k / s.block;
  p.splits = s.splits;
  p.x_row = skinny_x_row((blocks + s.splits - 1) / s.splits * s.block);
  LaunchShape shape{.grid = dim3(s.grid), .block = dim3(32 * kSkinnyWarps), .shared = s.shared};
  shape.cluster = s.splits, shape.dependent = p.a.dependent;
  const auto with_format = [&](auto nt, auto wk) {
    switch (p.a.format) {
      case WeightFormat::kPlain: return launch(skinny_gemm_kernel<T, WeightFormat::kPlain, nt(), wk()>, shape, stream, p);
      case WeightFormat::kInt8: return launch(skinny_gemm_kernel<T, WeightFormat::kInt8, nt(), wk()>, shape, stream, p);
      default: return launch(skinny_gemm_kernel<T, WeightFormat::kInt4, nt(), wk()>, shape, stream, p);
    }
  };
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  using Four = std::integral_constant<int, 4>;
  using Eight = std::integral_constant<int, 8>;
  if (s.nt == 1) return s.rows ? with_format(One{}, One{}) : with_format(One{}, Eight{});
  if (s.nt == 2) return s.rows ? with_format(Two{}, One{}) : with_format(Two{}, Eight{});
  return s.rows ? with_format(Eight{}, One{}) : with_format(Eight{}, Four{});
}

}  // namespace cameo::cuda
