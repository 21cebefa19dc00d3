// Layers of an encoder as one kernel: see encoder_persistent.h. A block a multiprocessor lives through all layers; a layer is
//   queries, keys, values | attention | output | norm + up + activation | down in parts of k | sum of the parts
// with norms behind the sums or before the products. Every block keeps the whole residual stream and does every norm itself, a
// warp a row. What a block makes goes to all others as words with epochs, which they wait for by reading them again. Weights
// stream through a ring in shared memory that never waits for data.
//
// Products are dealt in units of 24 columns: three tiles of 8 rows of W, four words of a row of y. For hidden = 768 and
// ffn = 3072 that is three units a layer for each of 128 blocks.
//
// Why a word's place may be written in the next layer while nobody waits for what it held: every block has units of `up` (the
// grid is not larger), and reads all of `out` before them, having read all of the layer before's `down`. The next `out` needs all
// of attention, that all of `qkv`, that `down`, that all of `up`, that `out`; so none of them is written before all blocks
// have read it.
#pragma once

#include "backends/cuda/kernels/encoder_persistent.h"
#include "backends/cuda/kernels/gelu.cuh"
#include "backends/cuda/kernels/skinny_gemm.cuh"
#include "backends/cuda/kernels/weight_ring.cuh"

namespace cameo::cuda {

// A warp has a row of what is made and normed; one more feeds the ring. Half of them multiply, and attend to two queries each: what
// a warp does there is the same for any number of columns and keys, so fewer warps take less time.
constexpr int kEncoderWarps = 16, kEncoderThreads = 32 * kEncoderWarps, kBusyWarps = 8, kHalf = 16;
constexpr int kUnit = 24, kUnitTiles = kUnit / 8, kUnitWords = kUnit / 6;
constexpr int kTail = 64;                          // bytes behind a stage's rows
constexpr int kParts = kBusyWarps;                 // of k
constexpr int kTileSums = 64 + 4;                  // pairs of sums of 16 rows, and some so that tiles meet other banks
constexpr int kMostBlocksOfK = 768 / 32 / kParts;  // of 32 numbers, that a warp multiplies of a row

// Numbers of an output of attention for one head, in words.
template <int D>
constexpr int kHeadWords = (D + 5) / 6;

__device__ __forceinline__ uint4 load_word16(const uint4* from) {
  unsigned long long a, b;
  asm volatile("{\n.reg .b128 v;\nld.relaxed.gpu.global.b128 v, [%2];\nmov.b128 {%0, %1}, v;\n}" : "=l"(a), "=l"(b) : "l"(from) : "memory");
  return {static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32), static_cast<uint32_t>(b), static_cast<uint32_t>(b >> 32)};
}
__device__ __forceinline__ void store_word16(uint4* to, uint32_t x, uint32_t y, uint32_t z, uint32_t epoch) {
  const unsigned long long a = (static_cast<unsigned long long>(y) << 32) | x, b = (static_cast<unsigned long long>(epoch) << 32) | z;
  asm volatile("{\n.reg .b128 v;\nmov.b128 v, {%1, %2};\nst.relaxed.gpu.global.b128 [%0], v;\n}" ::"l"(to), "l"(a), "l"(b) : "memory");
}

// Counts tell when reading is worth while, and no more: words say themselves whether they are there. So nothing is ordered.
__device__ __forceinline__ void add_count(uint32_t* count) {
  asm volatile("red.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
}
__device__ __forceinline__ uint32_t load_count(const uint32_t* count) {
  uint32_t n;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(n) : "l"(count) : "memory");
  return n;
}

static __device__ __noinline__ float2 activate_other(Activation f, float2 v) { return {activate(f, v.x), activate(f, v.y)}; }

// Those that compute meet.
__device__ __forceinline__ void barrier_consumers() { asm volatile("bar.sync 1, %0;" ::"n"(kEncoderThreads) : "memory"); }

// Loads w[i] from address(i) for each bit i of `wanted` until all are of the epoch.
template <int N, typename F>
__device__ __forceinline__ void poll_words16(uint4 (&w)[N], uint32_t wanted, uint32_t epoch, F&& address) {
  Patience patience;
  while (true) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (wanted >> i & 1) w[i] = load_word16(address(i));
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (w[i].w == epoch) wanted &= ~(1u << i);
    if (!wanted) return;
    patience.check();
  }
}

template <typename T, int D>
__global__ void __launch_bounds__(kEncoderThreads + 32, 1) encoder_persistent_kernel(const __grid_constant__ EncoderParams p) {
  extern __shared__ __align__(128) unsigned char encoder_shared[];
  unsigned char* const shared = encoder_shared;
  const EncoderArgs& a = p.args;
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, block = blockIdx.x, blocks = gridDim.x;
  WeightRing ring;
  ring.full = reinterpret_cast<uint64_t*>(shared), ring.empty = ring.full + kMostStages;
  ring.data = shared + p.ring_at, ring.stages = p.stages, ring.stage_bytes = p.stage_bytes;
  if (tid < ring.stages) mbarrier_init(ring.full + tid, 1), mbarrier_init(ring.empty + tid, kBusyWarps);
  mbarrier_init_fence();
  __syncthreads();
  const int hidden = a.hidden, qkv_units = 3 * hidden / kUnit, out_units = hidden / kUnit, up_units = a.ffn / kUnit;
  const int down_units = p.chunks * out_units;
  const void* const first_weight = a.pre ? p.layer[0].norm1_weight : a.first_weight;
  const void* const first_bias = a.pre ? p.layer[0].norm1_bias : a.first_bias;
  const int out_first = (block + blocks - qkv_units % blocks) % blocks;  // blocks that had no `qkv` go first

  if (warp == kEncoderWarps) {  // feeds the ring
    const auto stream = [&](const void* w, const void* bias, int row0, int k, int64_t from, int count) {
      const int stride = row_stride(count);
#pragma unroll 1
      for (int tile = 0; tile < kUnitTiles; ++tile) {
        const bool last = tile == kUnitTiles - 1;  // the unit's bias comes with its last tile
        ring.wait_empty();
        if (lane == 0) mbarrier_expect(ring.full + ring.slot, 16 * count + (last ? 2 * kUnit : 0));
        __syncwarp();
        if (last && lane == 8)
          copy_bulk(ring.stage() + ring.stage_bytes - kTail, static_cast<const T*>(bias) + row0, 2 * kUnit, ring.full + ring.slot);
        const int64_t row = row0 + tile * 8 + lane;
        if (lane < 8) copy_bulk(ring.stage() + lane * stride, static_cast<const T*>(w) + row * k + from, 2 * count, ring.full + ring.slot);
        ring.advance();
      }
    };
    const auto stream_norm = [&](const void* weight, const void* bias) {
      if (!weight) return;
      ring.wait_empty();
      if (lane == 0) {
        mbarrier_expect(ring.full + ring.slot, 4 * hidden);
        copy_bulk(ring.stage(), weight, 2 * hidden, ring.full + ring.slot);
        copy_bulk(ring.stage() + 2 * hidden, bias, 2 * hidden, ring.full + ring.slot);
      }
      __syncwarp();
      ring.advance();
    };
    stream_norm(first_weight, first_bias);
    for (int l = 0; l < a.layers; ++l) {
      const EncoderLayer& w = p.layer[l];
      for (int u = block; u < qkv_units; u += blocks)
        stream(w.weight[u / out_units], w.bias[u / out_units], u % out_units * kUnit, hidden, 0, hidden);
      for (int u = out_first; u < out_units; u += blocks) stream(w.out_weight, w.out_bias, u * kUnit, hidden, 0, hidden);
      stream_norm(a.pre ? w.norm2_weight : w.norm1_weight, a.pre ? w.norm2_bias : w.norm1_bias);
      for (int u = block; u < up_units; u += blocks) stream(w.up_weight, w.up_bias, u * kUnit, hidden, 0, hidden);
      for (int i = block; i < down_units; i += blocks)
        stream(w.down_weight, w.down_bias, i % out_units * kUnit, a.ffn, int64_t{i / out_units} * p.chunk_k, p.chunk_k);
      if (!a.pre)
        stream_norm(w.norm2_weight, w.norm2_bias);
      else if (l + 1 < a.layers)
        stream_norm(p.layer[l + 1].norm1_weight, p.layer[l + 1].norm1_bias);
    }
    return;
  }

  const uint32_t base = p.epochs[block];
  uint32_t epoch = base;
  const int row = warp, rows = p.rows;  // of the rows, a warp's own
  const bool has_row = row < rows, busy = warp < kBusyWarps;
  const int x_stride = row_stride(hidden), words = hidden / 6;
  unsigned char* const xs = shared + p.x_at;               // [rows], what products read
  unsigned char* const hs = a.pre ? shared + p.h_at : xs;  // [rows], the residual stream
  unsigned char* const as = shared + p.a_at;               // [rows], what `out` and `down` read
  auto* const sums = reinterpret_cast<float2*>(shared + p.sums_at);
  auto* const heads = reinterpret_cast<T*>(shared + p.qkv_at);        // [3][16][D + 8]
  auto* const scores = reinterpret_cast<float*>(shared + p.bias_at);  // [this block's units of attention][tokens][tokens]
  const int attention_units = a.batch * a.heads, attention_first = blocks - 1 - block;

  // x at word w of this warp's row, as three registers.
  const auto at_word = [&](unsigned char* rows_of, int w) { return reinterpret_cast<uint32_t*>(rows_of + row * x_stride + w * 12); };

  // Rows of words have been sent; all `count` who do have. By lanes; `lanes` of one row wait together.
  const auto count_at = [&](int kind, int of_row) { return p.counts + (kind * kEncoderRows + of_row) * 32; };
  const auto signal = [&](int kind, int of_row, bool sent) {
    __syncwarp();
    if (sent) add_count(count_at(kind, of_row));
  };
  const auto await = [&](int kind, int of_row, int count, bool first, uint32_t lanes) {
    if (first) {
      Patience patience;
      while (static_cast<int32_t>(load_count(count_at(kind, of_row)) - epoch * count) < 0) patience.check();
    }
    __syncwarp(lanes);
  };

  const float per_number = 1.f / hidden;
  // h += the words that the last phase left (null: nothing); x = its norm, where it is to be normalised.
  const auto norm = [&](const uint4* from, int kind, bool normalise) {
    constexpr int U = 4;
    float v[U][6] = {};
    float sum = 0.f;
    if (has_row) {
      uint4 w[U] = {};
      uint32_t wanted = 0;
#pragma unroll
      for (int u = 0; u < U; ++u) wanted |= lane + 32 * u < words ? 1u << u : 0;
      if (from) {
        const auto address = [&](int u) { return from + row * words + lane + 32 * u; };
        if (p.counted) await(kind, row, out_units, lane == 0, ~0u);
        poll_words16(w, wanted, epoch, address);
      }
#pragma unroll
      for (int u = 0; u < U; ++u) {
        if (!(wanted >> u & 1)) continue;
        uint32_t* const h = at_word(hs, lane + 32 * u);
        const uint32_t made[3] = {w[u].x, w[u].y, w[u].z};
#pragma unroll
        for (int i = 0; i < 3; ++i) {
          const float2 b = unpack2<T>(h[i]), d = from ? unpack2<T>(made[i]) : float2{0.f, 0.f};
          v[u][2 * i] = b.x + d.x, v[u][2 * i + 1] = b.y + d.y;
          if (a.pre && from) h[i] = pack2<T>(v[u][2 * i], v[u][2 * i + 1]);
          sum += v[u][2 * i] + v[u][2 * i + 1];
        }
      }
    }
    if (normalise) {
      const float mean = warp_sum(sum) * per_number;
      float squares = 0.f;
#pragma unroll
      for (int u = 0; u < U; ++u)
        if (lane + 32 * u < words)
#pragma unroll
          for (int i = 0; i < 6; ++i) squares += (v[u][i] - mean) * (v[u][i] - mean);
      const float inverse = rsqrtf(warp_sum(squares) * per_number + a.epsilon);
      ring.wait_full();
      const auto* weight = reinterpret_cast<const uint32_t*>(ring.stage());
      const uint32_t* bias = weight + hidden / 2;
      if (has_row)
#pragma unroll
        for (int u = 0; u < U; ++u) {
          if (lane + 32 * u >= words) continue;
          uint32_t* const x = at_word(xs, lane + 32 * u);
#pragma unroll
          for (int i = 0; i < 3; ++i) {
            const int pair = (lane + 32 * u) * 3 + i;
            const float2 g = unpack2<T>(weight[pair]), b = unpack2<T>(bias[pair]);
            x[i] = pack2<T>((v[u][2 * i] - mean) * inverse * g.x + b.x, (v[u][2 * i + 1] - mean) * inverse * g.y + b.y);
          }
        }
    }
    barrier_consumers();
    // What has been read of the ring by all, the busy ones give back.
    if (normalise) busy ? ring.release(lane) : ring.advance();
  };

  // The next unit's product of rows at `in`: a lane below 12 gets the sums of its warp's row and of two columns.
  const auto product = [&](const unsigned char* in, int stride_in, int k, bool biased) {
    if (busy) {
      const int part = warp, g = lane >> 2, t = lane & 3, count = k / 32, stride = row_stride(k);
      const unsigned char* x0 = in + min(g, rows - 1) * stride_in + t * 16;
      const unsigned char* x1 = in + min(g + 8, rows - 1) * stride_in + t * 16;
      uint4 xv[kMostBlocksOfK], yv[kMostBlocksOfK];
#pragma unroll
      for (int q = 0; q < kMostBlocksOfK; ++q) {
        const int b = part + q * kParts;
        xv[q] = b < count ? *reinterpret_cast<const uint4*>(x0 + b * 64) : uint4{};
        yv[q] = b < count ? *reinterpret_cast<const uint4*>(x1 + b * 64) : uint4{};
      }
      uint32_t bias[kUnitTiles] = {};
      float acc[kUnitTiles][2][4] = {};
#pragma unroll
      for (int tile = 0; tile < kUnitTiles; ++tile) {
        ring.wait_full();
        if (tile == kUnitTiles - 1 && biased && part == 0)
#pragma unroll
          for (int i = 0; i < kUnitTiles; ++i)
            bias[i] = *reinterpret_cast<const uint32_t*>(ring.stage() + ring.stage_bytes - kTail + (i * 4 + t) * 4);
        const unsigned char* w = ring.stage() + g * stride + t * 16;
        uint4 wv[kMostBlocksOfK];
#pragma unroll
        for (int q = 0; q < kMostBlocksOfK; ++q) {
          const int b = part + q * kParts;
          wv[q] = b < count ? *reinterpret_cast<const uint4*>(w + b * 64) : uint4{};
        }
#pragma unroll
        for (int q = 0; q < kMostBlocksOfK; ++q) {
          const uint32_t a0[4] = {xv[q].x, yv[q].x, xv[q].y, yv[q].y}, a1[4] = {xv[q].z, yv[q].z, xv[q].w, yv[q].w};
          mma16816<T>(acc[tile][0], a0, wv[q].x, wv[q].y);
          mma16816<T>(acc[tile][1], a1, wv[q].z, wv[q].w);
        }
        ring.release(lane);
      }
#pragma unroll
      for (int tile = 0; tile < kUnitTiles; ++tile) {
        const auto& sum = acc[tile];
        const float2 b = unpack2<T>(bias[tile]);
        float2* const to = sums + (part * kUnitTiles + tile) * kTileSums + lane;
        to[0] = {sum[0][0] + sum[1][0] + b.x, sum[0][1] + sum[1][1] + b.y};
        to[32] = {sum[0][2] + sum[1][2] + b.x, sum[0][3] + sum[1][3] + b.y};
      }
    } else {
#pragma unroll
      for (int tile = 0; tile < kUnitTiles; ++tile) ring.advance();
    }
    barrier_consumers();
    const int pair = lane % 12, half = min(lane / 12, 1);
    const float2* const from = sums + (half * kUnitTiles + pair / 4) * kTileSums + row * 4 + pair % 4;
    float2 v[kParts / 2];
#pragma unroll
    for (int i = 0; i < kParts / 2; ++i) v[i] = from[2 * i * kUnitTiles * kTileSums];
#pragma unroll
    for (int n = kParts / 4; n > 0; n /= 2)
#pragma unroll
      for (int i = 0; i < n; ++i) v[i].x += v[i + n].x, v[i].y += v[i + n].y;
    return float2{v[0].x + __shfl_down_sync(~0u, v[0].x, 12), v[0].y + __shfl_down_sync(~0u, v[0].y, 12)};
  };

  // 12 pairs of a row, held by the first lanes, as four words.
  const auto send = [&](uint4* to, uint32_t packed) {
    const int from = min(lane, kUnitWords - 1) * 3;
    const uint32_t x = __shfl_sync(~0u, packed, from), y = __shfl_sync(~0u, packed, from + 1), z = __shfl_sync(~0u, packed, from + 2);
    if (lane < kUnitWords && has_row) store_word16(to + lane, x, y, z, epoch);
  };
  // Words of this warp's row to `as`; those of a head of attention end in `D` numbers.
  const auto stage = [&](const uint4* from, int count, bool of_heads, int stride) {
    constexpr int U = (768 / D * kHeadWords<D> + 31) / 32;
    uint4 got[U] = {};
    uint32_t wanted = 0;
#pragma unroll
    for (int i = 0; i < U; ++i) wanted |= lane + 32 * i < count ? 1u << i : 0;
    poll_words16(got, wanted, epoch, [&](int i) { return from + lane + 32 * i; });
#pragma unroll
    for (int i = 0; i < U; ++i) {
      if (!(wanted >> i & 1)) continue;
      const int at = lane + 32 * i, head = of_heads ? at / kHeadWords<D> : 0, column = (at - head * kHeadWords<D>)*6;
      const uint32_t pairs[3] = {got[i].x, got[i].y, got[i].z};
#pragma unroll
      for (int q = 0; q < 3; ++q)
        if (!of_heads || column + 2 * q < D) *reinterpret_cast<uint32_t*>(as + row * stride + (head * D + column + 2 * q) * 2) = pairs[q];
    }
  };

  // The input, and attention's bias.
  if (has_row)
#pragma unroll 1
    for (int c = lane; c < hidden / 8; c += 32)
      *reinterpret_cast<uint4*>(hs + row * x_stride + c * 16) =
          *reinterpret_cast<const uint4*>(static_cast<const T*>(a.x) + static_cast<int64_t>(row) * hidden + c * 8);
#pragma unroll 1
  for (int u = attention_first, n = 0; u < attention_units; u += blocks, ++n)
#pragma unroll 1
    for (int i = tid; i < a.tokens * a.tokens; i += kEncoderThreads) {
      const int sequence = u / a.heads, head = u % a.heads, query = i / a.tokens, key = i % a.tokens;
      const int64_t at = sequence * a.bias_strides.batch + head * a.bias_strides.head + query * a.bias_strides.row + key;
      float s = 0.f;
      if (a.bias_type != BiasType::kNone && key >= a.bias_keys)
        s = -INFINITY;
      else if (a.bias_type == BiasType::kFloat32)
        s = static_cast<const float*>(a.bias)[at];
      else if (a.bias_type == BiasType::kFloat16)
        s = to_float(static_cast<const __half*>(a.bias)[at]);
      else if (a.bias_type == BiasType::kBFloat16)
        s = to_float(static_cast<const __nv_bfloat16*>(a.bias)[at]);
      else if (a.bias_type == BiasType::kBool)
        s = static_cast<const uint8_t*>(a.bias)[at] ? 0.f : -INFINITY;
      if (a.relative) s += a.relative[head * a.relative_stride + a.relative_origin + key - query];
      if (a.causal && key > query) s = -INFINITY;
      scores[n * a.tokens * a.tokens + i] = s;
    }
  barrier_consumers();

  enum { kQkv, kOut, kUp, kDown };
  const int up_chunk = up_units / p.chunks;  // units of `up` that are a chunk of `down`
  const auto chunk_of = [&](int u, int size) { return (u >= size) + (u >= 2 * size) + (u >= 3 * size); };
  // One loop over all products, so that there is one of each piece of code.
#pragma unroll 1
  for (int step = 0;; ++step) {
    const int l = step / 4, phase = step % 4;
    if (phase == kQkv || phase == kUp) {
      const bool begins = phase == kQkv;
      norm(!begins ? p.out
           : l > 0 ? p.down
                   : nullptr,
           begins ? kCountDown : kCountOut, !begins || (l == 0 ? first_weight != nullptr : !a.pre || l < a.layers));
      if (l == a.layers) break;
      if (begins) ++epoch;
    }
    const int units = phase == kQkv ? qkv_units : phase == kOut ? out_units : phase == kUp ? up_units : down_units;
    const int first = phase == kOut ? out_first : block, k = phase == kDown ? p.chunk_k : hidden, stride = row_stride(k);
    const bool staged = phase == kOut || phase == kDown;
#pragma unroll 1
    for (int u = first; u < units; u += blocks) {
      const int chunk = phase == kDown ? chunk_of(u, out_units) : 0, unit = u - chunk * out_units;
      if (staged && has_row) {
        const bool out = phase == kOut;
        const int count = out ? a.heads * kHeadWords<D> : k / 6;
        const uint4* const from = out ? p.attended + row * count : p.up + row * (a.ffn / 6) + chunk * count;
        if (p.counted) await(out ? kCountAttended : kCountUp + chunk, row, out ? a.heads : up_chunk, lane == 0, ~0u);
        stage(from, count, out, stride);
      }
      if (staged || u != first) barrier_consumers();
      float2 v = product(staged ? as : xs, stride, k, phase != kDown || chunk == 0);
      if (phase == kDown) {
        // A word has three columns.
        uint32_t out[3];
#pragma unroll
        for (int q = 0; q < 3; ++q) {
          const int column = 3 * min(lane, 7) + q;
          const float x = __shfl_sync(~0u, v.x, column / 2), y = __shfl_sync(~0u, v.y, column / 2);
          out[q] = __float_as_uint(column % 2 ? y : x);
        }
        if (lane < 8 && has_row)
          store_word16(p.parts + ((unit * p.chunks + chunk) * kEncoderRows + row) * 8 + lane, out[0], out[1], out[2], epoch);
        continue;
      }
      if (phase == kUp && a.activation == Activation::kGelu)
        gelu_pair(v.x, v.y);
      else if (phase == kUp)
        v = activate_other(a.activation, v);
      uint4* const to = phase == kQkv ? p.qkv + row * 3 * words : phase == kOut ? p.out + row * words : p.up + row * (a.ffn / 6);
      send(to + u * kUnitWords, pack2<T>(v.x, v.y));
      signal(phase == kQkv ? kCountQkv : phase == kOut ? kCountOut : kCountUp + chunk_of(u, up_chunk), row, lane == 0 && has_row);
    }

    // Attention: half a warp a query, a lane a key, and then a lane a share of the result.
#pragma unroll 1
    for (int u = attention_first, n = 0; phase == kQkv && u < attention_units; u += blocks, ++n) {
      constexpr int kStride = D + 8, kWords = D / 6 + 2, kGot = (3 * kWords + kHalf - 1) / kHalf;
      const int sequence = u / a.heads, head = u % a.heads, half = lane / kHalf, at_half = lane % kHalf, query = 2 * warp + half;
      const bool has_query = busy && query < a.tokens;
      if (n > 0) barrier_consumers();
      if (has_query) {
        uint4 got[kGot] = {};
        const auto first_column = [&](int i) { return i / kWords * hidden + head * D; };
        const auto word_of = [&](int i) { return min(first_column(i) / 6 + i % kWords, 3 * words - 1); };
        const auto address = [&](int j) { return p.qkv + (sequence * a.tokens + query) * 3 * words + word_of(at_half + kHalf * j); };
        if (p.counted) await(kCountQkv, sequence * a.tokens + query, qkv_units, at_half == 0, half ? 0xffff0000u : 0xffffu);
        uint32_t wanted = 0;
#pragma unroll
        for (int j = 0; j < kGot; ++j) wanted |= at_half + kHalf * j < 3 * kWords ? 1u << j : 0;
        poll_words16(got, wanted, epoch, address);
#pragma unroll
        for (int j = 0; j < kGot; ++j) {
          const int i = at_half + kHalf * j;
          if (i >= 3 * kWords) continue;
          const uint32_t pairs[3] = {got[j].x, got[j].y, got[j].z};
#pragma unroll
          for (int q = 0; q < 3; ++q) {
            const int column = (first_column(i) / 6 + i % kWords) * 6 + 2 * q - first_column(i);
            if (column >= 0 && column < D) *reinterpret_cast<uint32_t*>(heads + (i / kWords * 16 + query) * kStride + column) = pairs[q];
          }
        }
      }
      barrier_consumers();
      if (!busy || 2 * warp >= a.tokens) continue;
      const T* const q = heads + min(query, a.tokens - 1) * kStride;
      const T* const k = heads + (16 + min(at_half, a.tokens - 1)) * kStride;
      float s[2] = {};
#pragma unroll
      for (int c = 0; c < D / 8; ++c) {
        float qf[8], kf[8];
        unpack16<T>(*reinterpret_cast<const uint4*>(q + c * 8), qf);
        unpack16<T>(*reinterpret_cast<const uint4*>(k + c * 8), kf);
#pragma unroll
        for (int i = 0; i < 8; ++i) s[c & 1] += qf[i] * kf[i];
      }
      const int bias_at = (n * a.tokens + min(query, a.tokens - 1)) * a.tokens + at_half;
      const float score = at_half < a.tokens ? (s[0] + s[1]) * a.scale + scores[bias_at] : -INFINITY;
      float peak = score;
#pragma unroll
      for (int d = kHalf / 2; d > 0; d /= 2) peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, d));
      const float e = peak == -INFINITY ? 0.f : __expf(score - peak);
      float total = e;
#pragma unroll
      for (int d = kHalf / 2; d > 0; d /= 2) total += __shfl_xor_sync(~0u, total, d);
      const float weight = total > 0.f ? __fdividef(e, total) : 0.f;
      constexpr int kOwn = D / kHalf / 2;  // pairs of the result that a lane has
      float2 v[kOwn] = {};
#pragma unroll 4
      for (int j = 0; j < a.tokens; ++j) {
        const float share = __shfl_sync(~0u, weight, half * kHalf + j);
        const auto* from = reinterpret_cast<const uint32_t*>(heads + (32 + j) * kStride) + kOwn * at_half;
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const float2 f = unpack2<T>(from[i]);
          v[i].x += share * f.x, v[i].y += share * f.y;
        }
      }
      uint32_t packed[kOwn], out[3];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) packed[i] = pack2<T>(v[i].x, v[i].y);
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        const int pair = min(3 * at_half + i, D / 2 - 1);
        out[i] = 0;
#pragma unroll
        for (int j = 0; j < kOwn; ++j) {
          const uint32_t there = __shfl_sync(~0u, packed[j], half * kHalf + pair / kOwn);
          if (pair % kOwn == j) out[i] = there;
        }
      }
      if (has_query && at_half < kHeadWords<D>)
        store_word16(p.attended + ((sequence * a.tokens + query) * a.heads + head) * kHeadWords<D> + at_half, out[0], out[1], out[2],
                     epoch);
      signal(kCountAttended, sequence * a.tokens + query, at_half == 0 && has_query);
    }

    // The block of a chunk sums some rows of the unit's parts, a warp a row.
#pragma unroll 1
    for (int i = block; phase == kDown && i < down_units; i += blocks) {
      const int chunk = chunk_of(i, out_units), unit = i - chunk * out_units;
#pragma unroll 1
      for (int r = chunk + p.chunks * warp; r < rows; r += p.chunks * kEncoderWarps) {
        uint4 got[1] = {};
        poll_words16(got, lane / 8 < p.chunks ? 1u : 0u, epoch,
                     [&](int) { return p.parts + ((unit * p.chunks + lane / 8) * kEncoderRows + r) * 8 + lane % 8; });
        float f[3] = {__uint_as_float(got[0].x), __uint_as_float(got[0].y), __uint_as_float(got[0].z)};
#pragma unroll
        for (int q = 0; q < 3; ++q) {
          f[q] += __shfl_xor_sync(~0u, f[q], 8);
          f[q] += __shfl_xor_sync(~0u, f[q], 16);
        }
        // Pairs of columns, two of a word.
        uint32_t out[3];
#pragma unroll
        for (int q = 0; q < 3; ++q) {
          float ends[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int column = 6 * (lane % kUnitWords) + 2 * q + e;
            ends[e] = __shfl_sync(~0u, f[(2 * q + e) % 3], column / 3);
          }
          out[q] = pack2<T>(ends[0], ends[1]);
        }
        if (lane < kUnitWords) store_word16(p.down + r * words + unit * kUnitWords + lane, out[0], out[1], out[2], epoch);
        __syncwarp();
        if (lane == 0) add_count(count_at(kCountDown, r));
      }
    }
  }

  if (tid == 0) p.epochs[block] = base + a.layers;
  if (has_row && row % blocks == block)
#pragma unroll 1
    for (int w = lane; w < words; w += 32) {
      const uint32_t* const h = at_word(hs, w);
      auto* to = reinterpret_cast<uint32_t*>(static_cast<T*>(a.y) + static_cast<int64_t>(row) * hidden) + 3 * w;
      to[0] = h[0], to[1] = h[1], to[2] = h[2];
    }
}

template <typename T>
cudaError_t launch_encoder(const EncoderParams& p, cudaStream_t stream) {
  const auto kernel = p.args.head_size == 32 ? encoder_persistent_kernel<T, 32> : encoder_persistent_kernel<T, 64>;
  if (const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, p.shared); e != cudaSuccess) return e;
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeCooperative;  // all blocks live at once
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(p.blocks);
  config.blockDim = dim3(kEncoderThreads + 32);
  config.dynamicSmemBytes = static_cast<size_t>(p.shared);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, p);
}

}  // namespace cameo::cuda
