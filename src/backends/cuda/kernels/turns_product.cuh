// The kernel of turns_product.h. One thread fetches: rows of x by the tensor copy engine, blocks of W, which lie ready for wgmma, and the
// tile's bias by bulk copies, through a ring of stages of 128 bytes of K that runs over all tiles of the block. Two warpgroups take the
// tiles in turns: while one multiplies, the other finishes. wgmma wants all that shared memory gives, so what finishes uses few and wide
// accesses: a patch for each warp, which the tensor copy engine writes to y.
#pragma once

#include <type_traits>

#include "backends/cuda/kernels/gelu.cuh"
#include "backends/cuda/kernels/quantized_product.cuh"
#include "backends/cuda/kernels/turns_product.h"

namespace cameo::cuda {

struct TurnsParams {
  CUtensorMap x, y;
  const uint8_t* w;
  const void* bias;
  void* out;  // y of 8-bit floats
  float scale, y_factor;
  int32_t m, n, k_steps, blocks_n, tiles_n, tiles;
};

namespace {

constexpr int kTurnColumns = 192, kTurnBlocks = kTurnColumns / 64, kTurnStageBytes = (kTileRows + kTurnColumns) * kStepBytes,
              kTurnStages = 5;
constexpr int kTurnSums = kTurnColumns / 2;               // of a thread, for 64 rows
constexpr int kSlots = 4, kSlotBytes = 2 * kTurnColumns;  // biases of tiles
constexpr int kPatchRows = 16;
constexpr int kPatchRowBytes = 128;  // 64 columns of 16 bits
constexpr int kTurnShared =
    1024 + kTurnStages * kTurnStageBytes + 8 * kPatchRows * kPatchRowBytes + kSlots * kSlotBytes + 16 * (kTurnStages + 1);

#define CAMEO_TURN_SUMS(p) CAMEO_R64(p), CAMEO_R8(p, 64), CAMEO_R8(p, 72), CAMEO_R8(p, 80), CAMEO_R8(p, 88)
#define CAMEO_TURN_SUM(i) "+f"(d[i])
#define CAMEO_TURN_NAMES                                                                                                             \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,"  \
  "%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,%65," \
  "%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95}"
#define CAMEO_TURN_WGMMA(shape, types, more)                                                                         \
  "{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\nwgmma.mma_async.sync.aligned." shape ".f32." types " " CAMEO_TURN_NAMES \
  ", %96, %97, p, 1, 1" more ";\n}"

// d[64 x 192] = a[64 x 32 bytes] b[192 x 32 bytes]^T, plus d where `more`.
template <Element X>
__device__ __forceinline__ void turn_multiply(float* d, uint64_t a, uint64_t b, int more) {
#ifdef CAMEO_WGMMA
  if constexpr (X == Element::kFloat8)
    asm volatile(CAMEO_TURN_WGMMA("m64n192k32", "e4m3.e4m3", "") : CAMEO_TURN_SUMS(CAMEO_TURN_SUM) : "l"(a), "l"(b), "r"(more));
  else if constexpr (X == Element::kFloat16)
    asm volatile(CAMEO_TURN_WGMMA("m64n192k16", "f16.f16", ", 0, 0") : CAMEO_TURN_SUMS(CAMEO_TURN_SUM) : "l"(a), "l"(b), "r"(more));
  else
    asm volatile(CAMEO_TURN_WGMMA("m64n192k16", "bf16.bf16", ", 0, 0") : CAMEO_TURN_SUMS(CAMEO_TURN_SUM) : "l"(a), "l"(b), "r"(more));
#endif
}

__device__ __forceinline__ void turn_hold(float* d) {
#pragma unroll
  for (int i = 0; i < 2 * kTurnSums; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

__device__ __forceinline__ void bulk_copy(uint32_t to, const void* from, uint32_t bytes, uint32_t full) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes),
               "r"(full)
               : "memory");
}

// Makes a stage expect what comes, and asks for W, and with a tile's first step for its bias: `number` is the tile's among those of the
// block.
template <Element X>
__device__ __forceinline__ void turn_begin(const TurnsParams& p, int tile_n, int number, int step, int stage, uint32_t stages,
                                           uint32_t slots, uint32_t full) {
  const int blocks = min(kTurnBlocks, p.blocks_n - tile_n * kTurnBlocks);
  // Of 8-bit operands the biases lie as W's columns.
  const int columns = X == Element::kFloat8 ? 64 * blocks : min(kTurnColumns, p.n - tile_n * kTurnColumns);
  const int bias = step == 0 && p.bias ? 2 * columns : 0;
  const uint32_t at = full + 8 * stage, to = stages + stage * kTurnStageBytes + kTileRows * kStepBytes;
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(kTileRows * kStepBytes + blocks * 8192 + bias)
               : "memory");
  for (int block = 0; block < blocks; ++block)
    bulk_copy(to + block * 8192, p.w + (int64_t{tile_n * kTurnBlocks + block} * p.k_steps + step) * 8192, 8192, at);
  if (bias) bulk_copy(slots + number % kSlots * kSlotBytes, static_cast<const uint16_t*>(p.bias) + tile_n * kTurnColumns, bias, at);
}

template <Element X>
__device__ __forceinline__ void turn_produce(const TurnsParams& p, uint32_t stages, uint32_t slots, uint32_t full, uint32_t empty) {
  int stage = 0, number = 0;
  uint32_t phase = 1;
  // W does not come from the kernel before.
  int begun = min(kTurnStages, p.k_steps);
  for (int step = 0; step < begun; ++step) turn_begin<X>(p, blockIdx.x % p.tiles_n, 0, step, step, stages, slots, full);
  wait_for_predecessor();
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x, ++number) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
    for (int step = 0; step < p.k_steps; ++step) {
      if (begun > 0) {
        --begun;
      } else {
        barrier_wait(empty + 8 * stage, phase);
        turn_begin<X>(p, tile_n, number, step, stage, stages, slots, full);
      }
      asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                       stages + stage * kTurnStageBytes),
                   "l"(&p.x), "r"(step * kStepBytes), "r"(tile_m * kTileRows), "r"(full + 8 * stage)
                   : "memory");
      if (++stage == kTurnStages) stage = 0, phase ^= 1;
    }
  }
}

// 16 bits of y's type, within what they hold.
template <Element Y>
__device__ __forceinline__ uint32_t turn_pack(float a, float b) {
#if __CUDA_ARCH__ >= 800
  if constexpr (Y == Element::kFloat16) {
    uint32_t two = pack2<__half>(a, b);
    asm("min.NaN.f16x2 %0, %0, %1;" : "+r"(two) : "r"(0x7bff7bffu));
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(two) : "r"(0xfbfffbffu));
    return two;
  }
#endif
  return pack2<__nv_bfloat16>(a, b);
}

__device__ __forceinline__ void load16(uint32_t* v, uint32_t at) {
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(at) : "memory");
}
__device__ __forceinline__ void store16(uint32_t at, const uint32_t* v) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(at), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]) : "memory");
}

// 64 columns of 16 rows: d holds 4 sums for each 8 columns of W, two of row lane / 4 and two of the eighth behind it. A thread's sums of
// a row are those of 16 neighbours of 64 for 8-bit operands (quantized_weight_offset()), of 8 neighbours of each 32 for 16 bits
// (wide_weight_offset()).
template <Element X, Element Y, bool GELU>
__device__ __forceinline__ void turn_finish(const TurnsParams& p, const float* d, uint32_t patch, uint32_t slot, int row, int column,
                                            int lane) {
#ifdef CAMEO_WGMMA
  constexpr bool kBytes = X == Element::kFloat8;
  using T = std::conditional_t<X == Element::kBFloat16, __nv_bfloat16, __half>;
  const int q = lane & 3, r = lane >> 2;
  float v[32];
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    uint32_t bias[4] = {};
    if (p.bias && kBytes) ldmatrix4_at(bias, slot + 2 * (32 * part + 8 * (lane >> 3)));  // all rows of a matrix are the same 8 biases
    if (p.bias && !kBytes) load16(bias, slot + 2 * (32 * part + 8 * q));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 b = unpack2<T>(bias[i]);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int at = 16 * part + 4 * i + 2 * h;
        v[at] = kBytes ? fmaf(d[at], p.scale, b.x) : d[at] + b.x;
        v[at + 1] = kBytes ? fmaf(d[at + 1], p.scale, b.y) : d[at + 1] + b.y;
      }
    }
  }
  if constexpr (GELU) {
#pragma unroll
    for (int i = 0; i < 32; i += 2) gelu_pair(v[i], v[i + 1]);
  }
  if constexpr (Y == Element::kFloat8) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* f = v + 8 * i + 2 * h;
        words[i] = pack_float8(f[0] * p.y_factor, f[1] * p.y_factor) | pack_float8(f[4] * p.y_factor, f[5] * p.y_factor) << 16;
      }
      const int at = row + r + 8 * h, c = column + 16 * q;
      if (at < p.m && c < p.n)
        *reinterpret_cast<uint4*>(static_cast<uint8_t*>(p.out) + int64_t{at} * p.n + c) = uint4{words[0], words[1], words[2], words[3]};
    }
  } else {
    // The patch is free when the engine has read what was there.
    if (lane == 0) asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
    __syncwarp();
    const auto word = [&](int j, int h) { return turn_pack<Y>(v[4 * j + 2 * h], v[4 * j + 2 * h + 1]); };
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t words[4] = {word(4 * i, h), word(4 * i + 1, h), word(4 * i + 2, h), word(4 * i + 3, h)};
        store16(patch + (r + 8 * h) * kPatchRowBytes + (((kBytes ? 2 * q + i : 4 * i + q) ^ r) << 4), words);
      }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncwarp();
    if (lane == 0) {
      asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&p.y), "r"(2 * column),
                   "r"(row), "r"(patch)
                   : "memory");
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    }
  }
#endif
}

template <Element X, Element Y, bool GELU>
__device__ __forceinline__ void turn_consume(const TurnsParams& p, uint32_t stages, uint32_t patches, uint32_t slots, uint32_t full,
                                             uint32_t empty, uint32_t order) {
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const uint32_t patch = patches + (group * 4 + warp) * kPatchRows * kPatchRowBytes;
  wait_for_predecessor();
  int number = group;
  uint32_t turn = group == 0;
  for (int tile = blockIdx.x + group * gridDim.x; tile < p.tiles; tile += 2 * gridDim.x, number += 2, turn ^= 1) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n, begin = number * p.k_steps;
    int stage = begin % kTurnStages, last = -1;
    uint32_t phase = begin / kTurnStages & 1;
    float d[2 * kTurnSums];
    barrier_wait(order + 8 * group, turn);
    for (int step = 0; step < p.k_steps; ++step) {
      barrier_wait(full + 8 * stage, phase);
      const uint32_t from = stages + stage * kTurnStageBytes;
      const uint64_t at_a = matrix_descriptor(from), at_b = matrix_descriptor(from + kTileRows * kStepBytes);
      turn_hold(d);
      products_begin();
#pragma unroll
      for (int kk = 0; kk < 4; ++kk)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          turn_multiply<X>(d + half * kTurnSums, further(at_a, 2 * kk + half * (64 * kStepBytes >> 4)), further(at_b, 2 * kk),
                           kk > 0 || step > 0);
      products_commit();
      turn_hold(d);
      products_wait<1>();
      if (last >= 0 && lane == 0) barrier_arrive(empty + 8 * last);
      last = stage;
      if (++stage == kTurnStages) stage = 0, phase ^= 1;
    }
    if (lane == 0) barrier_arrive(order + 8 * (1 - group));
    products_wait<0>();
    turn_hold(d);
    if (lane == 0) barrier_arrive(empty + 8 * last);
      // A loop, for its code is long.
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int u = 0; u < kTurnBlocks; ++u) {
        const int column = tile_n * kTurnColumns + u * 64;
        if (column < p.n)
          turn_finish<X, Y, GELU>(p, d + 32 * u, patch, slots + number % kSlots * kSlotBytes + u * 128,
                                  tile_m * kTileRows + half * 64 + warp * 16, column, lane);
      }
#pragma unroll
      for (int i = 0; i < kTurnSums; ++i) d[i] = d[kTurnSums + i];
    }
  }
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

// Where the kernel was compiled without wgmma, too few for a block.
#ifdef CAMEO_WGMMA
constexpr int kTurnThreads = kThreads;
#else
constexpr int kTurnThreads = 32;
#endif

template <Element X, Element Y, bool GELU>
__global__ void __launch_bounds__(kTurnThreads, 1) turns_kernel(const __grid_constant__ TurnsParams p) {
#ifdef CAMEO_WGMMA
  extern __shared__ uint8_t memory[];
  const uint32_t stages = (shared_address(memory) + 1023) & ~1023u;
  const uint32_t patches = stages + kTurnStages * kTurnStageBytes, slots = patches + 8 * kPatchRows * kPatchRowBytes;
  const uint32_t full = slots + kSlots * kSlotBytes, empty = full + 8 * kTurnStages, order = empty + 8 * kTurnStages;
  launch_dependents();
  if (threadIdx.x == 0) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&p.x) : "memory");
    for (int i = 0; i < kTurnStages; ++i) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, 4);  // the warps of the group that multiplies
    }
    for (int i = 0; i < 2; ++i) barrier_init(order + 8 * i, 4);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == 0) turn_produce<X>(p, stages, slots, full, empty);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    turn_consume<X, Y, GELU>(p, stages, patches, slots, full, empty, order);
  }
#else
  __trap();
#endif
}

template <Element X, Element Y, bool GELU>
cudaError_t launch_turns(TurnsParams& p, bool dependent, const DeviceTraits& device, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tiles < device.multiprocessors ? p.tiles : device.multiprocessors)),
                          .block = dim3(kThreads),
                          .shared = kTurnShared,
                          .dependent = dependent};
  return launch(&turns_kernel<X, Y, GELU>, shape, stream, p);
}

template <Element X, Element Y>
cudaError_t launch_turns_of(TurnsParams& p, const TurnsArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const bool gelu = a.activation == QuantizedProductArgs::Activation::kGelu;
  return gelu ? launch_turns<X, Y, true>(p, a.dependent, device, stream) : launch_turns<X, Y, false>(p, a.dependent, device, stream);
}

}  // namespace
}  // namespace cameo::cuda
