// A decoder's step as one kernel: see decoder_persistent.h. A block a multiprocessor lives through all layers; a layer is
//   norm + queries, keys, values | attention + append | output | norm + up + activation | down
// Every block keeps the whole residual stream in float32 and does every norm itself. What a block makes goes to all others as
// words with epochs (persistent_device.cuh), which they wait for by reading them again: one latency of L2 a phase.
//
// Why a word's place may be written in the next layer while nobody waits for what it held: every block has rows of `up` (the plan
// sees to it), and reads all of `down`, which all of `up` went into. So a block that has a layer's `down` knows that all blocks are
// past that layer's attention and output; it then may write `qkv`, `attended` and `out` of the next. Readers of `up` have rows of
// `down`, whose result everybody waits for before writing the next `up`. `down` alone may be left behind by a block that the next layer's
// `down` does not depend on: it has two places in turn.
#pragma once

#include "backends/cuda/kernels/decoder_persistent.h"
#include "backends/cuda/kernels/persistent_product.cuh"
#include "backends/cuda/kernels/skinny_gemm.cuh"

namespace cameo::cuda {

// Keys of a stage, of which each warp has two groups.
template <int HD>
struct PersistentKeys {
  static constexpr int kLanes = HD / 8, kAtOnce = 32 / kLanes, kPerWarp = 2 * kAtOnce, kPiece = kConsumerWarps * kPerWarp;
};

struct PersistentUnit {
  int b, head, split, first, last;
  __device__ __forceinline__ PersistentUnit(int unit, int heads, int split_bits, const int32_t* lengths) {
    const int splits = 1 << split_bits, at = unit >> split_bits;
    split = unit & (splits - 1), b = at / heads, head = at - b * heads;
    const int length = lengths[b], share = (length + splits - 1) >> split_bits;
    first = min(split * share, length), last = min(first + share, length);
  }
};

// Rarely run or long: one copy, out of the way.
static __device__ __noinline__ float noisy(const DecoderState& s, float inverse_temperature, float v, int m, int n) {
  return v * inverse_temperature + gumbel(s.seed, s.lengths[m], m, n);
}
static __device__ __noinline__ float2 activate_other(Activation f, float2 v) { return {activate(f, v.x), activate(f, v.y)}; }
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }
__device__ __forceinline__ float2 activate_pair(Activation f, float2 v) {
  if (f != Activation::kGeluTanh) return activate_other(f, v);
  // (1 + tanh u) / 2 = sigmoid(2 u)
  return {v.x * sigmoid(1.5957691216f * (v.x + 0.044715f * v.x * v.x * v.x)),
          v.y * sigmoid(1.5957691216f * (v.y + 0.044715f * v.y * v.y * v.y))};
}

template <typename T, int HD>
__global__ void __launch_bounds__(kPersistentThreads, 1) decoder_persistent_kernel(const __grid_constant__ PersistentParams p) {
  extern __shared__ __align__(128) unsigned char persistent_shared[];
  unsigned char* const shared = persistent_shared;
  int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
  const int block = blockIdx.x, blocks = gridDim.x;
  Ring ring(shared, p.ring_at, p.stages, p.stage_bytes);
  auto* row_sums = reinterpret_cast<float2*>(shared + 512);          // [warps]
  auto* best = reinterpret_cast<unsigned long long*>(shared + 640);  // [16]
  auto* lengths = reinterpret_cast<int32_t*>(shared + 768);          // [16], at most the capacity
  auto* tokens = lengths + 16;                                       // [16]
  auto* fresh = reinterpret_cast<float*>(shared + 1024);             // [3][HD]: query, key, value
  float* const merged = fresh + 3 * HD;                              // [warps][HD + 4]: sums, the largest, the weights' sum
  auto* x = reinterpret_cast<float*>(shared + p.x_at);               // [batch, hidden]
  unsigned char* const xs = shared + p.xs_at;
  auto* sums = reinterpret_cast<float2*>(shared + p.sums_at);
  if (tid < p.stages) mbarrier_init(ring.full() + tid, 1), mbarrier_init(ring.empty() + tid, kConsumerWarps);
  if (tid < 16) {
    const int m = min(tid, p.batch - 1);
    lengths[tid] = min(max(p.state.lengths[m], 0), p.capacity), tokens[tid] = min(max(p.state.tokens[m], 0), p.vocabulary - 1);
    best[tid] = 0;
  }
  mbarrier_init_fence();
  __syncthreads();
  const int splits = 1 << p.split_bits;
  int start = 0;
  if (warp == kConsumerWarps) {  // feeds the ring
    using Keys = PersistentKeys<HD>;
    const auto prefetch = [&](const void* from, int bytes) {
      if (!from || lane != 0) return;
      for (int at = block * 128; at < bytes; at += blocks * 128) prefetch_line(static_cast<const unsigned char*>(from) + at);
    };
#pragma unroll 1
    for (int n = 0; n < 4 * p.layer_count + (p.state.choose ? 1 : 0); ++n) {
      const int kind = n == 4 * p.layer_count ? 4 : n & 3;
      const PersistentLayer& l = p.layers[kind == 4 ? 0 : n >> 2];
      const ProductShape& s = p.shapes[kind];
      // What comes in small pieces and is wanted later, to L2.
      if (kind == 0) {
        prefetch(l.norm_weight[0], p.hidden * 2), prefetch(l.norm_bias[0], p.hidden * 2);
        prefetch(l.norm_weight[1], p.hidden * 2), prefetch(l.norm_bias[1], p.hidden * 2);
      }
      if (kind < 4)
        prefetch(l.bias[kind], s.n * 2);
      else
        prefetch(p.final_norm_weight, p.hidden * 2), prefetch(p.final_norm_bias, p.hidden * 2);
      stream_product(ring, s, kind == 4 ? p.head_weight : l.weight[kind], Deal(s.dealing, blocks, block, start), lane);
      if (kind) continue;
      const Deal d(p.attention, blocks, block, start);
      for (int u = 0; u < d.count; ++u) {
        const PersistentUnit a(d.first + u * d.step, p.heads, p.split_bits, lengths);
        const int64_t cache = (static_cast<int64_t>(a.b) * p.kv_heads + a.head / p.group) * p.capacity;
        for (int k0 = a.first; k0 < a.last; k0 += Keys::kPiece)
          for (int which = 0; which < 2; ++which) {
            const uint32_t bytes = min(Keys::kPiece, a.last - k0) * HD * 2;
            ring.wait_empty();
            if (lane == 0) {
              mbarrier_expect(ring.full(), bytes);
              copy_bulk(ring.stage(), static_cast<const T*>(which ? l.v_cache : l.k_cache) + (cache + k0) * HD, bytes, ring.full());
            }
            __syncwarp();
            ring.advance();
          }
      }
    }
    return;
  }

  const uint32_t base = p.epochs[block];
  uint32_t epoch = base;
  int turn = 0;
  RowMap<1> map(tid);
  SumPlace<false> place(tid);
  const int quads = p.hidden / 4, pairs_hidden = p.hidden / 2, x_stride = pair_stride(p.hidden);
  const bool centre = p.norm == NormKind::kLayer;

  // x += the sums that the last product left in `chunks` parts (null: x is embedded), normalised to xs. A thread has four numbers.
  const auto norm = [&](const unsigned long long* from, int chunks, const void* weight, const void* bias) {
    const bool on = tid < quads;
    uint2 nw{}, nb{};
    if (on) nw = *(static_cast<const uint2*>(weight) + tid);
    if (on && bias) nb = *(static_cast<const uint2*>(bias) + tid);
    float4 v{};
    if (from) {
      ulonglong2 w[4];
      poll_words(w, !on ? 0u : chunks == 1 ? 1u : chunks == 2 ? 3u : 15u, epoch, [&](int c) { return from + c * pairs_hidden + 2 * tid; });
      if (on) {
        v = reinterpret_cast<const float4*>(x)[tid];
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          if (c >= chunks) continue;
          const float2 a = unpack2<T>(static_cast<uint32_t>(w[c].x)), b = unpack2<T>(static_cast<uint32_t>(w[c].y));
          v.x += a.x, v.y += a.y, v.z += b.x, v.w += b.y;
        }
      }
    } else if (on) {
      const uint2 a =
          *(reinterpret_cast<const uint2*>(static_cast<const T*>(p.token_embedding) + static_cast<int64_t>(tokens[0]) * p.hidden) + tid);
      const float2 a0 = unpack2<T>(a.x), a1 = unpack2<T>(a.y);
      const float s = p.embedding_scale;
      v = {a0.x * s, a0.y * s, a1.x * s, a1.y * s};
      if (p.position_embedding) {
        const uint2 b = *(reinterpret_cast<const uint2*>(static_cast<const T*>(p.position_embedding) +
                                                         static_cast<int64_t>(min(lengths[0], p.capacity - 1)) * p.hidden) +
                          tid);
        const float2 b0 = unpack2<T>(b.x), b1 = unpack2<T>(b.y);
        v.x += b0.x, v.y += b0.y, v.z += b1.x, v.w += b1.y;
      }
    }
    if (on) reinterpret_cast<float4*>(x)[tid] = v;
    float sum = (v.x + v.y) + (v.z + v.w), squares = (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
#pragma unroll
    for (int m = 16; m > 0; m >>= 1) sum += __shfl_xor_sync(~0u, sum, m), squares += __shfl_xor_sync(~0u, squares, m);
    if (lane == 0) row_sums[warp] = {sum, squares};
    barrier_threads(kConsumers);
    float4 part[kConsumerWarps / 2];
#pragma unroll
    for (int i = 0; i < kConsumerWarps / 2; ++i) part[i] = reinterpret_cast<const float4*>(row_sums)[i];
    sum = ((part[0].x + part[0].z) + (part[1].x + part[1].z)) + ((part[2].x + part[2].z) + (part[3].x + part[3].z));
    squares = ((part[0].y + part[0].w) + (part[1].y + part[1].w)) + ((part[2].y + part[2].w) + (part[3].y + part[3].w));
    const float mean = centre ? sum * p.inverse_hidden : 0.f;
    const float inverse = rsqrtf(fmaxf(squares * p.inverse_hidden - mean * mean, 0.f) + p.epsilon);
    if (on) {
      const float2 w0 = unpack2<T>(nw.x), w1 = unpack2<T>(nw.y), b0 = unpack2<T>(nb.x), b1 = unpack2<T>(nb.y);
      put_quad(xs, x_stride, 0, tid, pack2<T>((v.x - mean) * inverse * w0.x + b0.x, (v.y - mean) * inverse * w0.y + b0.y),
               pack2<T>((v.z - mean) * inverse * w1.x + b1.x, (v.w - mean) * inverse * w1.y + b1.y));
    }
    barrier_threads(kConsumers);
  };

  // One query head of a sequence over a part of its keys.
  const auto attend = [&](const PersistentLayer& l, const Deal& d) {
    using Keys = PersistentKeys<HD>;
    constexpr int LANES = Keys::kLanes;
    const int which = lane / LANES, piece = lane % LANES * 8, row_words = p.row_words;
    const uint32_t wanted = epoch;
    ++epoch;
#pragma unroll 1
    for (int i = 0; i < d.count; ++i) {
      const PersistentUnit a(d.first + i * d.step, p.heads, p.split_bits, lengths);
      const int position = lengths[a.b], kv_head = a.head / p.group;
      const bool appends = a.split == splits - 1 && position < p.capacity;
      // Warps 0, 2, 4 fetch the query, the key, the value, four numbers a lane, and rotate the first two.
      if (warp % 2 == 0 && warp < 6 && (warp == 0 || appends)) {
        const int at = lane % (HD / 4), head = warp == 0 ? a.head : p.heads + (warp == 4 ? p.kv_heads : 0) + kv_head;
        const bool turns = p.rope_cos && warp < 4;
        float4 cosine{}, sine{};
        if (turns) {
          const int64_t place = static_cast<int64_t>(min(position, p.capacity - 1)) * (HD / 8) + at % (HD / 8);
          cosine = reinterpret_cast<const float4*>(p.rope_cos)[place], sine = reinterpret_cast<const float4*>(p.rope_sin)[place];
        }
        ulonglong2 w[1];
        poll_words(w, 1u, wanted, [&](int) { return p.words_qkv + static_cast<int64_t>(a.b) * row_words + head * (HD / 2) + 2 * at; });
        const float2 f0 = unpack2<T>(static_cast<uint32_t>(w[0].x)), f1 = unpack2<T>(static_cast<uint32_t>(w[0].y));
        float4 f{f0.x, f0.y, f1.x, f1.y};
        if (turns) {
          const float sign = at < HD / 8 ? -1.f : 1.f;
          const float4 g{__shfl_xor_sync(~0u, f.x, HD / 8), __shfl_xor_sync(~0u, f.y, HD / 8), __shfl_xor_sync(~0u, f.z, HD / 8),
                         __shfl_xor_sync(~0u, f.w, HD / 8)};
          f = {f.x * cosine.x + sign * g.x * sine.x, f.y * cosine.y + sign * g.y * sine.y, f.z * cosine.z + sign * g.z * sine.z,
               f.w * cosine.w + sign * g.w * sine.w};
        }
        if (warp == 0) f = {f.x * p.scale, f.y * p.scale, f.z * p.scale, f.w * p.scale};
        *reinterpret_cast<float4*>(fresh + warp / 2 * HD + 4 * at) = f;
      }
      barrier_threads(kConsumers);
      float q[8], o[8] = {}, most = -1e30f, total = 0.f;
#pragma unroll
      for (int e = 0; e < 8; ++e) q[e] = fresh[piece + e];
      const auto dot = [&](const uint4& k) {
        float f[8], s = 0.f;
        unpack16<T>(k, f);
#pragma unroll
        for (int e = 0; e < 8; ++e) s += q[e] * f[e];
#pragma unroll
        for (int m = LANES / 2; m > 0; m >>= 1) s += __shfl_xor_sync(~0u, s, m);
        return s;
      };
      if (appends && warp == kConsumerWarps - 1) {
        const uint4 kn = pack16<T>(fresh + HD + piece), vn = pack16<T>(fresh + 2 * HD + piece);
        const float s = dot(kn);
        most = s;
        if (which == 0) {
          total = 1.f;
          unpack16<T>(vn, o);
          if (a.head % p.group == 0) {
            const int64_t at = ((static_cast<int64_t>(a.b) * p.kv_heads + kv_head) * p.capacity + position) * HD + piece;
            *reinterpret_cast<uint4*>(static_cast<T*>(l.k_cache) + at) = kn;
            *reinterpret_cast<uint4*>(static_cast<T*>(l.v_cache) + at) = vn;
          }
        }
      }
#pragma unroll 1
      for (int k0 = a.first; k0 < a.last; k0 += Keys::kPiece) {
        const int count = min(Keys::kPiece, a.last - k0), j0 = warp * Keys::kPerWarp + which;
        float s[2];
        ring.wait_full();
#pragma unroll
        for (int u = 0; u < 2; ++u) {
          const int j = j0 + u * Keys::kAtOnce;
          const float v = dot(j < count ? *reinterpret_cast<const uint4*>(ring.stage() + j * HD * 2 + piece * 2) : uint4{});
          s[u] = j < count ? v : -1e30f;
        }
        ring.release(lane);
        float now = fmaxf(most, fmaxf(s[0], s[1]));
#pragma unroll
        for (int m = LANES; m < 32; m <<= 1) now = fmaxf(now, __shfl_xor_sync(~0u, now, m));
        const float shrink = exp2_fast(most - now);
        most = now, total *= shrink;
#pragma unroll
        for (int e = 0; e < 8; ++e) o[e] *= shrink;
        ring.wait_full();
#pragma unroll
        for (int u = 0; u < 2; ++u) {
          const int j = j0 + u * Keys::kAtOnce;
          if (j >= count) continue;
          const float weight = exp2_fast(s[u] - now);
          float f[8];
          unpack16<T>(*reinterpret_cast<const uint4*>(ring.stage() + j * HD * 2 + piece * 2), f);
          total += weight;
#pragma unroll
          for (int e = 0; e < 8; ++e) o[e] += weight * f[e];
        }
        ring.release(lane);
      }
#pragma unroll
      for (int m = LANES; m < 32; m <<= 1) {
        total += __shfl_xor_sync(~0u, total, m);
#pragma unroll
        for (int e = 0; e < 8; ++e) o[e] += __shfl_xor_sync(~0u, o[e], m);
      }
      float* const out = merged + warp * (HD + 4);
      if (which == 0) {
#pragma unroll
        for (int e = 0; e < 8; e += 4) *reinterpret_cast<float4*>(out + piece + e) = {o[e], o[e + 1], o[e + 2], o[e + 3]};
        if (lane == 0) out[HD] = most, out[HD + 1] = total;
      }
      barrier_threads(kConsumers);
      if (tid < HD / 2) {
        float m = -1e30f, sum = 0.f;
        float2 v{};
#pragma unroll
        for (int w = 0; w < kConsumerWarps; ++w) m = fmaxf(m, merged[w * (HD + 4) + HD]);
#pragma unroll
        for (int w = 0; w < kConsumerWarps; ++w) {
          const float* from = merged + w * (HD + 4);
          const float weight = exp2_fast(from[HD] - m);
          sum += weight * from[HD + 1], v.x += weight * from[2 * tid], v.y += weight * from[2 * tid + 1];
        }
        const float inverse = sum > 0.f ? __fdividef(1.f, sum) : 0.f;
        const uint32_t word = pack2<T>(v.x * inverse, v.y * inverse);
        if (splits == 1) {
          store_word(p.words_attended + static_cast<int64_t>(a.b * p.heads + a.head) * (HD / 2) + tid, word, epoch);
        } else {
          unsigned long long* to = p.words_attended + static_cast<int64_t>((a.b * p.heads + a.head) * splits + a.split) * (HD / 2 + 2);
          store_word(to + tid, word, epoch);
          if (tid == 0) store_word(to + HD / 2, __float_as_uint(m), epoch), store_word(to + HD / 2 + 1, __float_as_uint(sum), epoch);
        }
      }
    }
  };

  // What attention left, its parts joined, to xs.
  const auto joined = [&] {
    constexpr int S = kPersistentSplits, SPAN = RowMap<1>::kSpan;
    const int all = p.heads * (HD / 4), stride = pair_stride(p.heads * HD);
#pragma unroll 1
    for (int row = map.first; row < p.batch; row += RowMap<1>::kStep)
#pragma unroll 1
      for (int begin = map.lane; begin < all; begin += SPAN) {
        ulonglong2 w[2 * S] = {};
        poll_words(w, (1u << 2 * S) - 1, epoch, [&](int i) {
          const int q = begin, head = q / (HD / 4), part = i / 2;
          return p.words_attended + static_cast<int64_t>((row * p.heads + head) * S + part) * (HD / 2 + 2) +
                 (i % 2 ? HD / 2 : 2 * (q % (HD / 4)));
        });
        float most = -1e30f, total = 0.f;
        float4 v{};
#pragma unroll
        for (int i = 0; i < S; ++i) most = fmaxf(most, __uint_as_float(static_cast<uint32_t>(w[2 * i + 1].x)));
#pragma unroll
        for (int i = 0; i < S; ++i) {
          const ulonglong2 &a = w[2 * i], &m = w[2 * i + 1];
          const float weight = exp2_fast(__uint_as_float(static_cast<uint32_t>(m.x)) - most) * __uint_as_float(static_cast<uint32_t>(m.y));
          const float2 f0 = unpack2<T>(static_cast<uint32_t>(a.x)), f1 = unpack2<T>(static_cast<uint32_t>(a.y));
          total += weight, v.x += weight * f0.x, v.y += weight * f0.y, v.z += weight * f1.x, v.w += weight * f1.y;
        }
        const float inverse = __fdividef(1.f, total);
        put_quad(xs, stride, row, begin, pack2<T>(v.x * inverse, v.y * inverse), pack2<T>(v.z * inverse, v.w * inverse));
      }
  };

  const DecoderState& s = p.state;
  const ProductShape& down = p.shapes[3];
  const auto words_down = [&](int layer) {
    return p.words_down + static_cast<int64_t>(layer & 1) * down.dealing.groups * p.batch * pairs_hidden;
  };
  unsigned long long mine = 0;  // the largest sum of the head, and its row
  int mine_row = -1;
  // One loop over all products, so that there is one copy of their code.
#pragma unroll 1
  for (int n = 0; n <= 4 * p.layer_count; ++n) {
    // So that places are computed in each phase anew, not all held in registers.
    tid = held(tid), lane = held(lane), warp = held(warp), map.first = held(map.first), map.lane = held(map.lane);
    place.mine = held(place.mine), place.row = held(place.row), place.pair = held(place.pair);
    const int layer = n >> 2, kind = layer == p.layer_count ? 4 : n & 3;
    if (kind == 4 && !s.choose && block) return;
    const PersistentLayer& l = p.layers[kind == 4 ? 0 : layer];
    const ProductShape& shape = p.shapes[kind];
    const Deal d(shape.dealing, blocks, block, start);
    const void* const bias = kind == 4 || d.chunk ? nullptr : l.bias[kind];
    const int words = kind == 0 ? p.row_words : kind == 2 ? down.k / 2 : pairs_hidden, kept = kind;
    unsigned long long* const to = (kind == 0   ? p.words_qkv
                                    : kind == 1 ? p.words_out
                                    : kind == 2 ? p.words_up
                                                : words_down(layer)) +
                                   (static_cast<int64_t>(d.chunk) * p.batch + place.row) * words + place.pair;
    // What a thread's sums need is on its way before x is waited for.
    uint32_t first = 0, second = 0;
    unsigned long long* target = to;
    int tile_row = 0;
    const bool paired = shape.pair;
    const auto begin = [&](int tile) {
      tile_row = tile * 8 + 2 * place.pair;
      target = to + (paired ? tile * 2 : tile * 4);
      if (!bias) return;
      const auto* at = static_cast<const uint32_t*>(bias) + tile * 4 + place.pair;
      first = at[0];
      if (paired) second = at[4];
    };
    Product<T, false> product(shape, d, xs, p.batch, tid, place, begin);
    if (kind % 2 == 0) {
      const unsigned long long* const from = n == 0 ? nullptr : kind == 2 ? p.words_out : words_down(layer - 1);
      const void* const weight = kind == 4 ? p.final_norm_weight : l.norm_weight[kind / 2];
      const void* const bias = kind == 4 ? p.final_norm_bias : l.norm_bias[kind / 2];
      norm(from, kind == 2 ? 1 : down.dealing.groups, weight, bias);
      if (kind == 4 && !s.choose) break;
    } else if (d.count) {
      if (kind == 1 && splits > 1)
        joined();
      else
        stage_words<1, 1>(xs, shape.local(), (kind == 1 ? p.words_attended : p.words_up) + d.chunk * (shape.local() / 2), shape.k / 2,
                          p.batch, epoch, tid);
      barrier_threads(kConsumers);
    }
    ++epoch;
    if (n == 0 && tid == 0) p.epochs[block] = base + 5 * p.layer_count + 1;  // all threads have read it
    product.run(ring, sums, turn, p.batch, tid, begin, [&](float2 v, float2 next) {
      if (kept == 4) {
        const int row = mine_row = place.row;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int at = tile_row + e;
          if (at >= p.vocabulary) continue;
          float f = e ? v.y : v.x;
          if (p.head_bias) f += to_float(static_cast<const T*>(p.head_bias)[at]);
          if (s.logits) static_cast<T*>(s.logits)[static_cast<int64_t>(row) * p.vocabulary + at] = from_float<T>(f);
          if (p.inverse_temperature != 0.f) f = noisy(s, p.inverse_temperature, f, row, at);
          mine = max(mine, sampling_key(f, at));
        }
        return;
      }
      const float2 b = unpack2<T>(first);
      v.x += b.x, v.y += b.y;
      if (paired) {
        const float2 c = unpack2<T>(second);
        v.x *= sigmoid(v.x) * (next.x + c.x), v.y *= sigmoid(v.y) * (next.y + c.y);
      } else if (kept == 2) {
        v = activate_pair(p.activation, v);
      }
      store_word(target, pack2<T>(v.x, v.y), epoch);
    });
    if (kind) continue;
    attend(l, Deal(p.attention, blocks, block, start));
  }
  if (!s.choose) {  // all others are past reading the state, for their last sums are here
    const int at = s.queue ? *s.queue_at : 0;
    barrier_threads(kConsumers);
    if (tid < p.batch && s.lengths[tid] < p.capacity && !(s.done && s.done[tid])) ++s.lengths[tid];
    if (!s.queue) return;
    if (tid < p.batch) s.tokens[tid] = s.queue[2 * at * s.queue_stride + tid];
    if (tid < p.batch && s.done) s.done[tid] = s.queue[(2 * at + 1) * s.queue_stride + tid];
    if (tid == 0) *s.queue_at = at + 1;
    return;
  }
  if (mine_row >= 0) atomicMax(best + mine_row, mine);
  barrier_threads(kConsumers);
  if (tid < p.batch) {
    unsigned long long* to = p.words_best + 2 * (static_cast<int64_t>(tid) * blocks + block);
    store_word(to, static_cast<uint32_t>(best[tid] >> 32), epoch), store_word(to + 1, static_cast<uint32_t>(best[tid]), epoch);
  }
  barrier_threads(kConsumers);
  for (int m = block; m < p.batch; m += blocks) {
    for (int i = tid; i < blocks; i += kConsumers) {
      ulonglong2 w[1];
      poll_words(w, 1u, epoch, [&](int) { return p.words_best + 2 * (static_cast<int64_t>(m) * blocks + i); });
      atomicMax(best + m, (w[0].x << 32) | (w[0].y & 0xffffffffull));
    }
    barrier_threads(kConsumers);
    if (tid == 0) {
      SkinnySampling q;
      q.tokens = s.tokens, q.lengths = s.lengths, q.done = s.done, q.history = s.history, q.history_stride = s.history_stride;
      q.capacity = p.capacity, q.end_token = s.end_token;
      choose_token(q, m, static_cast<int>(~static_cast<uint32_t>(best[m])));
    }
  }
}

}  // namespace cameo::cuda
