// A persistent kernel of three warpgroups. One gathers: pieces of 16 bytes of x go to shared memory by cp.async, at the places that
// wgmma's 128-byte swizzle wants, and blocks of W, which lie ready for it, by bulk copies. The other two multiply, 64 rows each, and
// finish. A ring of stages of 128 bytes of K runs between them over all tiles of the block, so that the next tile is fetched while one
// is finished.
#pragma once

#include <cuda.h>

#include <algorithm>

#include "backends/cuda/kernels/bytes.cuh"
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/float8.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/quantized_product.h"

// wgmma is there for sm_90a alone.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CAMEO_WGMMA 1
#endif

namespace cameo::cuda {

struct QuantizedParams {
  QuantizedProductArgs a;
  int32_t m, k_chunks, k_steps, tiles, tiles_n, blocks_n;
  uint32_t pad_word;
  CUtensorMap map;  // of x, where `tensor`
  bool tensor;      // rows of x are fetched by the tensor copy engine
  bool windows;     // which finds the windows itself; a step lies within one tap
  bool halves;      // or each half of a step: both lie one behind the other, in rows of 64 bytes
  bool plain;       // rows of x are rows of y
  // From step `behind_step` on, rows come from another image, or from its pixels at a stride.
  CUtensorMap behind;
  int32_t behind_step;
  bool behind_windows;
};

// How the tensor copy engine sees x [rows, bytes]: tiles of 128 rows by 128 bytes, permuted for wgmma, or of so many rows. False where the
// driver has none.
bool describe_rows(CUtensorMap& map, const void* x, int64_t rows, int64_t bytes, int tile_rows = 128);
// The same for the windows of x [batch, in_h, in_w, channels] in bytes: 128 of them one after another, 128 or 64 bytes of channels under
// one tap.
bool describe_windows(CUtensorMap& map, const QuantizedProductArgs& args, int bytes = 128);
// Whether the engine has such windows.
bool windows_fit(const QuantizedProductArgs& args, int bytes = 128);

namespace {

constexpr int kTileRows = 128, kStepBytes = 128, kThreads = 384;
// Tensor cores add 8-bit floats with fewer bits than float32 has: sums of so many steps are added in float32.
constexpr int kPartialSteps = 4;

// BN: columns of a tile; BLOCKS: blocks on a multiprocessor.
template <int N, int BLOCKS>
struct Config {
  static constexpr int BN = N, kBlocks = BLOCKS;
  static constexpr int kStageBytes = (kTileRows + BN) * kStepBytes;
  static constexpr int kStages = (BLOCKS == 1 ? 224 : 110) * 1024 / kStageBytes;
  static constexpr int kShared = kStages * kStageBytes + 1024 + 16 * kStages;
  static constexpr int kGatherRegisters = BLOCKS == 1 ? 72 : 48, kMultiplyRegisters = BLOCKS == 1 ? 216 : 96;
};

// What follows the sums: rounding to bytes where all before it is linear, or everything there is.
enum class Finish { kBytes, kAll };

__device__ __forceinline__ void barrier_init(uint32_t at, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(count) : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint32_t at) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
}
__device__ __forceinline__ void barrier_wait(uint32_t at, uint32_t parity) {
#ifdef CAMEO_WGMMA
  asm volatile(
      "{\n.reg .pred p;\n"
      "WAIT:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
      "@p bra DONE;\n"
      "bra WAIT;\n"
      "DONE:\n}" ::"r"(at),
      "r"(parity)
      : "memory");
#endif
}

// A matrix in shared memory: rows of 128 bytes, swizzled, in groups of 8. Where it lies is in the lower word, in units of 16 bytes.
__device__ __forceinline__ uint64_t matrix_descriptor(uint32_t shared) {
  return uint64_t{(shared & 0x3ffff) >> 4} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}
__device__ __forceinline__ uint64_t further(uint64_t descriptor, uint32_t units) {
  return descriptor & ~uint64_t{0xffffffff} | (static_cast<uint32_t>(descriptor) + units);
}

// The same of rows of 64 bytes.
__device__ __forceinline__ uint64_t half_descriptor(uint32_t shared) {
  return uint64_t{(shared & 0x3ffff) >> 4} | uint64_t{1} << 16 | uint64_t{512 >> 4} << 32 | uint64_t{2} << 62;
}

#define CAMEO_R8(p, i) p(i), p(i + 1), p(i + 2), p(i + 3), p(i + 4), p(i + 5), p(i + 6), p(i + 7)
#define CAMEO_R32(p) CAMEO_R8(p, 0), CAMEO_R8(p, 8), CAMEO_R8(p, 16), CAMEO_R8(p, 24)
#define CAMEO_R64(p) CAMEO_R32(p), CAMEO_R8(p, 32), CAMEO_R8(p, 40), CAMEO_R8(p, 48), CAMEO_R8(p, 56)
#define CAMEO_INT(i) "+r"(d[i])
#define CAMEO_NAMES32 \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}"
#define CAMEO_NAMES64                                                                                                               \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33," \
  "%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"

// d[64 x N] = a[64 x 32] b[N x 32]^T, plus d where `more`. The registers of d hold int32, or for 8-bit floats float32.
#define CAMEO_WGMMA_TEXT(shape, types, names, a, b, c, more) \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " c ", 0;\nwgmma.mma_async.sync.aligned." shape "." types " " names ", " a ", " b ", p" more ";\n}"

template <Element X, int N>
__device__ __forceinline__ void multiply(uint32_t* d, uint64_t a, uint64_t b, int more) {
#ifdef CAMEO_WGMMA
  if constexpr (N == 64) {
    if constexpr (X == Element::kUint8)
      asm volatile(CAMEO_WGMMA_TEXT("m64n64k32", "s32.u8.s8", CAMEO_NAMES32, "%32", "%33", "%34", "")
                   : CAMEO_R32(CAMEO_INT)
                   : "l"(a), "l"(b), "r"(more));
    else if constexpr (X == Element::kInt8)
      asm volatile(CAMEO_WGMMA_TEXT("m64n64k32", "s32.s8.s8", CAMEO_NAMES32, "%32", "%33", "%34", "")
                   : CAMEO_R32(CAMEO_INT)
                   : "l"(a), "l"(b), "r"(more));
    else
      asm volatile(CAMEO_WGMMA_TEXT("m64n64k32", "f32.e4m3.e4m3", CAMEO_NAMES32, "%32", "%33", "%34", ", 1, 1")
                   : CAMEO_R32(CAMEO_INT)
                   : "l"(a), "l"(b), "r"(more));
  } else {
    if constexpr (X == Element::kUint8)
      asm volatile(CAMEO_WGMMA_TEXT("m64n128k32", "s32.u8.s8", CAMEO_NAMES64, "%64", "%65", "%66", "")
                   : CAMEO_R64(CAMEO_INT)
                   : "l"(a), "l"(b), "r"(more));
    else if constexpr (X == Element::kInt8)
      asm volatile(CAMEO_WGMMA_TEXT("m64n128k32", "s32.s8.s8", CAMEO_NAMES64, "%64", "%65", "%66", "")
                   : CAMEO_R64(CAMEO_INT)
                   : "l"(a), "l"(b), "r"(more));
    else
      asm volatile(CAMEO_WGMMA_TEXT("m64n128k32", "f32.e4m3.e4m3", CAMEO_NAMES64, "%64", "%65", "%66", ", 1, 1")
                   : CAMEO_R64(CAMEO_INT)
                   : "l"(a), "l"(b), "r"(more));
  }
#endif
}

// The compiler may not move accumulators across this.
template <int COUNT>
__device__ __forceinline__ void hold(uint32_t* d) {
#pragma unroll
  for (int i = 0; i < COUNT; ++i) asm volatile("" : "+r"(d[i])::"memory");
}
__device__ __forceinline__ void products_begin() {
#ifdef CAMEO_WGMMA
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void products_commit() {
#ifdef CAMEO_WGMMA
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int LEFT>
__device__ __forceinline__ void products_wait() {
#ifdef CAMEO_WGMMA
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
#endif
}

// Asks for the blocks of W of a step.
template <class C>
__device__ __forceinline__ void fetch_weight(const QuantizedParams& p, int tile_n, int blocks, int step, uint32_t to, uint32_t full) {
  for (int block = 0; block < blocks; ++block) {
    const uint8_t* from = static_cast<const uint8_t*>(p.a.w) + (int64_t{tile_n * (C::BN / 64) + block} * p.k_steps + step) * 8192;
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     to + kTileRows * kStepBytes + block * 8192),
                 "l"(from), "r"(8192), "r"(full)
                 : "memory");
  }
}

// Makes a stage expect so many bytes of x, and asks for its W.
template <class C>
__device__ __forceinline__ void begin_step(const QuantizedParams& p, int tile_n, int step, int stage, int x_bytes, uint32_t stages,
                                           uint32_t full) {
  const int blocks = min(C::BN / 64, p.blocks_n - tile_n * (C::BN / 64));
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full + 8 * stage), "r"(x_bytes + blocks * 8192) : "memory");
  fetch_weight<C>(p, tile_n, blocks, step, stages + stage * C::kStageBytes, full + 8 * stage);
}
// The same for the block's first steps, as far as there is room: W does not come from the kernel before. How many they are.
template <class C>
__device__ __forceinline__ int begin_first_steps(const QuantizedParams& p, int x_bytes, uint32_t stages, uint32_t full) {
  const int steps = blockIdx.x < p.tiles ? min(C::kStages, p.k_steps) : 0;
  for (int step = 0; step < steps; ++step) begin_step<C>(p, blockIdx.x % p.tiles_n, step, step, x_bytes, stages, full);
  return steps;
}

__device__ __forceinline__ void fetch_windows(const CUtensorMap* map, uint32_t to, uint32_t full, int channel, int x, int y, int image,
                                              int tap_x, int tap_y) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6], {%7, "
      "%8};" ::"r"(to),
      "l"(map), "r"(channel), "r"(x), "r"(y), "r"(image), "r"(full), "h"(static_cast<uint16_t>(tap_x)), "h"(static_cast<uint16_t>(tap_y))
      : "memory");
}

// One thread asks for everything: rows of x by the tensor copy engine, which permutes them as wgmma wants.
template <class C>
__device__ __forceinline__ void produce_rows(const QuantizedParams& p, uint32_t stages, uint32_t full, uint32_t empty) {
  int stage = 0;
  uint32_t phase = 1;
  int begun = begin_first_steps<C>(p, kTileRows * kStepBytes, stages, full);
  wait_for_predecessor();
  const QuantizedProductArgs& a = p.a;
  const int piece = p.halves ? kStepBytes / 2 : kStepBytes;
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
    // Where the first row's window begins; the others follow.
    int b = 0, out_y = 0, out_x = 0, inner = 0, tap_y = 0, tap_x = 0;
    if (p.windows || p.behind_windows) {
      const int row = tile_m * kTileRows, area = a.out_h * a.out_w, rest = row % area;
      b = row / area;
      out_y = rest / a.out_w;
      out_x = rest % a.out_w;
    }
    for (int step = 0; step < p.k_steps; ++step) {
      const uint32_t to = stages + stage * C::kStageBytes, at = full + 8 * stage;
      if (begun > 0) {
        --begun;
      } else {
        barrier_wait(empty + 8 * stage, phase);
        begin_step<C>(p, tile_n, step, stage, kTileRows * kStepBytes, stages, full);
      }
      const bool behind = step >= p.behind_step;
      const CUtensorMap* map = behind ? &p.behind : &p.map;
      const int column = behind ? (step - p.behind_step) * kStepBytes : step * kStepBytes;
      if (behind && p.behind_windows) {
        fetch_windows(map, to, at, column, out_x * a.behind.stride_w, out_y * a.behind.stride_h, b, 0, 0);
      } else if (!behind && p.windows) {
        for (int half = 0; half < kStepBytes; half += piece) {
          fetch_windows(map, to + half * kTileRows, at, inner, out_x * a.stride_w - a.pad_w, out_y * a.stride_h - a.pad_h, b,
                        tap_x * a.dilation_w, tap_y * a.dilation_h);
          // Behind the last tap come rows of zeros of W: it is read again.
          if (inner + piece < a.channels)
            inner += piece;
          else if (tap_x + 1 < a.kernel_w)
            inner = 0, ++tap_x;
          else if (tap_y + 1 < a.kernel_h)
            inner = tap_x = 0, ++tap_y;
        }
      } else {
        asm volatile(
            "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
            "l"(map), "r"(column), "r"(tile_m * kTileRows), "r"(at)
            : "memory");
      }
      if (++stage == C::kStages) stage = 0, phase ^= 1;
    }
  }
}

template <class C>
__device__ __forceinline__ void produce(const QuantizedParams& p, uint32_t stages, uint32_t full, uint32_t empty) {
  const QuantizedProductArgs& a = p.a;
  const int t = threadIdx.x, chunk = t & 7, first_row = t >> 3;
  const uint32_t place = first_row * 128 + ((chunk ^ (first_row & 7)) << 4);
  const int per_tap = a.channels >> 4;
  const auto* x = static_cast<const uint8_t*>(a.x);
  int stage = 0;
  uint32_t phase = 1;
  int begun = t == 0 ? begin_first_steps<C>(p, 0, stages, full) : 0;
  wait_for_predecessor();
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
    // Where the window of each of the thread's rows begins; far outside for rows that there are not.
    int offset[8], position[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = tile_m * kTileRows + first_row + 16 * i;
      int b = row, y = 0, xx = 0;
      if (!p.plain) {
        const int area = a.out_h * a.out_w;
        b = row / area;
        const int rest = row - b * area;
        y = rest / a.out_w;
        xx = (rest - y * a.out_w) * a.stride_w - a.pad_w;
        y = y * a.stride_h - a.pad_h;
      }
      position[i] = row < p.m ? y << 16 | (xx & 0xffff) : INT32_MIN;
      offset[i] = ((b * a.in_h + y) * a.in_w + xx) * a.channels;
    }
    int tap_y = 0, tap_x = 0, inner = chunk;
    const auto settle = [&] {
      while (inner >= per_tap) {
        inner -= per_tap;
        if (++tap_x == a.kernel_w) tap_x = 0, ++tap_y;
      }
    };
    settle();
    for (int step = 0; step < p.k_steps; ++step) {
      barrier_wait(empty + 8 * stage, phase);
      const uint32_t to = stages + stage * C::kStageBytes;
      if (begun > 0)
        --begun;
      else if (t == 0)
        begin_step<C>(p, tile_n, step, stage, 0, stages, full);
      const bool in_k = step * 8 + chunk < p.k_chunks;
      const int dy = tap_y * a.dilation_h, dx = tap_x * a.dilation_w, shift = (dy * a.in_w + dx) * a.channels + inner * 16;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const bool row = position[i] != INT32_MIN;
        const int y = (position[i] >> 16) + dy, xx = static_cast<int16_t>(position[i]) + dx;
        const bool inside =
            row && static_cast<unsigned>(y) < static_cast<unsigned>(a.in_h) && static_cast<unsigned>(xx) < static_cast<unsigned>(a.in_w);
        const uint32_t at = to + place + i * 2048;
        const bool valid = in_k && inside;
        const int bytes = valid ? 16 : 0;
        const uint8_t* from = valid ? x + (offset[i] + shift) : x;
        if (p.pad_word != 0 && in_k && row && !inside)
          asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(p.pad_word) : "memory");
        else
          asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
      }
      if (p.pad_word != 0) __threadfence_block();
      // Arrives when the copies are done.
      asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(full + 8 * stage) : "memory");
      if (++stage == C::kStages) stage = 0, phase ^= 1;
      inner += 8;
      settle();
    }
  }
  asm volatile("cp.async.wait_all;" ::: "memory");
}

// tanh to 11 bits.
__device__ __forceinline__ float fast_tanh(float x) {
  float r = 0;
#if __CUDA_ARCH__ >= 750
  asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
#endif
  return r;
}

// each(f) puts f(v) in place of every v: the choice lies outside of what runs over them.
template <typename Each>
__device__ __forceinline__ void activate(const QuantizedProductArgs& a, const Each& each) {
  switch (a.activation) {
    case QuantizedProductArgs::Activation::kClamp:
      return each([&](float v) { return v < a.low ? a.low : v > a.high ? a.high : v; });
    case QuantizedProductArgs::Activation::kGelu:
      // erf(v / sqrt 2) as the tanh of a polynomial, to 1e-4.
      return each([](float v) {
        const float t = fminf(fmaxf(v, -5.f), 5.f), square = t * t;
        return 0.5f * v * (1.f + fast_tanh(t * fmaf(square, fmaf(square, -3.19979886e-4f, 3.68217332e-2f), 0.797700991f)));
      });
    case QuantizedProductArgs::Activation::kGeluTanh:
      return each([](float v) { return 0.5f * v * (1.f + fast_tanh(0.79788456080286536f * (v + 0.044715f * v * v * v))); });
    case QuantizedProductArgs::Activation::kSilu:
      return each([](float v) { return v / (1.f + __expf(-v)); });
    default:
      return;
  }
}

// Elements of the residual: 16 bytes of 16 neighbouring columns.
template <bool SIGNED>
__device__ __forceinline__ float byte_of(uint32_t word, int i) {
  const uint32_t byte = word >> (8 * i);
  return SIGNED ? static_cast<float>(static_cast<int8_t>(byte)) : static_cast<float>(static_cast<uint8_t>(byte));
}
template <bool SIGNED>
__device__ __forceinline__ void add_bytes(uint32_t* d, int h, uint4 r, float scale) {
  const uint32_t words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      uint32_t& v = d[4 * j + 2 * h + e];
      v = __float_as_uint(fmaf(byte_of<SIGNED>(words[j / 2], 2 * (j % 2) + e), scale, __uint_as_float(v)));
    }
}
// The 8-bit floats of the two lower bytes.
__device__ __forceinline__ float2 unpack_float8(uint32_t two) {
  uint32_t r = 0;
#if __CUDA_ARCH__ >= 890
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(static_cast<uint16_t>(two)));
#endif
  return unpack2<__half>(r);
}
// The same of 8-bit floats.
__device__ __forceinline__ void add_floats8(uint32_t* d, int h, uint4 r, float scale) {
  const uint32_t words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float2 f = unpack_float8(words[j / 2] >> (16 * (j % 2)));
    d[4 * j + 2 * h] = __float_as_uint(fmaf(f.x, scale, __uint_as_float(d[4 * j + 2 * h])));
    d[4 * j + 2 * h + 1] = __float_as_uint(fmaf(f.y, scale, __uint_as_float(d[4 * j + 2 * h + 1])));
  }
}
__device__ __forceinline__ bool is_byte(Element e) { return e == Element::kUint8 || e == Element::kInt8; }

// Residual bytes of the thread's two rows.
struct ResidualBytes {
  uint4 rows[2];
};
__device__ __forceinline__ void fetch(ResidualBytes& r, const QuantizedParams& p, int first_row, int column, int q) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    r.rows[h] = uint4{};
    if (first_row + 8 * h < p.m && column + 16 * q < p.a.n)
      r.rows[h] = load_fresh(static_cast<const uint8_t*>(p.a.residual) + (int64_t{first_row} + 8 * h) * p.a.n + column + 16 * q);
  }
}

// The bytes of 16 neighbouring columns of one row.
__device__ __forceinline__ void write_bytes(const QuantizedParams& p, const uint32_t* words, int row, int column, int q) {
  if (row < p.m && column + 16 * q < p.a.n)
    *reinterpret_cast<uint4*>(static_cast<uint8_t*>(p.a.y) + int64_t{row} * p.a.n + column + 16 * q) =
        uint4{words[0], words[1], words[2], words[3]};
}

// Four numbers of each pair of columns: [j / 2] holds those of columns 2 j to 2 j + 3 of the thread's 16.
struct Columns {
  float4 of[4];
  __device__ __forceinline__ void load(const float* from, int column, int q) {
    const auto* at = reinterpret_cast<const float4*>(from + column) + 4 * q;
#pragma unroll
    for (int i = 0; i < 4; ++i) of[i] = __ldg(at + i);
  }
  __device__ __forceinline__ float2 pair(int j) const {
    return j % 2 ? float2{of[j / 2].z, of[j / 2].w} : float2{of[j / 2].x, of[j / 2].y};
  }
};

// 64 columns from `column` on of the thread's two rows: d holds 4 numbers for each pair of its 16 columns from 16 q on, two of each row.
template <bool FLOATS, Finish F>
__device__ __forceinline__ void finish(const QuantizedParams& p, uint32_t* d, const ResidualBytes& residual, float factor, int first_row,
                                       int column, int q) {
  const QuantizedProductArgs& a = p.a;
  Columns scales, biases{};
  scales.load(a.scale, column, q);
  if (a.bias) biases.load(a.bias, column, q);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    float2 scale = scales.pair(j);
    const float2 bias = biases.pair(j);
    if constexpr (F == Finish::kAll) scale.x *= factor, scale.y *= factor;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      uint32_t* v = d + 4 * j + 2 * h;
      v[0] = __float_as_uint(fmaf(FLOATS ? __uint_as_float(v[0]) : static_cast<float>(static_cast<int>(v[0])), scale.x, bias.x));
      v[1] = __float_as_uint(fmaf(FLOATS ? __uint_as_float(v[1]) : static_cast<float>(static_cast<int>(v[1])), scale.y, bias.y));
    }
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 8 * h;
    const bool there = row < p.m;
    const int64_t base = int64_t{row} * a.n;
    const auto at = [&](int j, int e) -> uint32_t& { return d[4 * j + 2 * h + e]; };
    const auto value = [&](int j, int e) { return __uint_as_float(at(j, e)); };
    const auto add = [&](int j, int e, float v) { at(j, e) = __float_as_uint(fmaf(v, a.residual_scale, value(j, e))); };
    if (a.residual_type == Element::kUint8) add_bytes<false>(d, h, residual.rows[h], a.residual_scale);
    if (a.residual_type == Element::kInt8) add_bytes<true>(d, h, residual.rows[h], a.residual_scale);
    if constexpr (F == Finish::kAll) {
      if (a.residual_type == Element::kFloat8) add_floats8(d, h, residual.rows[h], a.residual_scale);
      if (a.residual_type == Element::kFloat16 || a.residual_type == Element::kBFloat16) {
#pragma unroll
        for (int g = 0; g < 2; ++g) {
          const int c = column + 16 * q + 8 * g;
          uint4 r{};
          if (there && c < a.n) r = load_fresh(static_cast<const uint16_t*>(a.residual) + base + c);
          const uint32_t words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const float2 f = a.residual_type == Element::kFloat16 ? unpack2<__half>(words[i]) : unpack2<__nv_bfloat16>(words[i]);
            add(4 * g + i, 0, f.x), add(4 * g + i, 1, f.y);
          }
        }
      } else if (a.residual_type == Element::kFloat32) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int c = column + 16 * q + 4 * i;
          if (!there || c >= a.n) continue;
          const float4 f = __ldcg(reinterpret_cast<const float4*>(static_cast<const float*>(a.residual) + base + c));
          add(2 * i, 0, f.x), add(2 * i, 1, f.y), add(2 * i + 1, 0, f.z), add(2 * i + 1, 1, f.w);
        }
      }
    }
    const auto each = [&](auto f) {
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) at(j, e) = __float_as_uint(f(value(j, e)));
    };
    if constexpr (F == Finish::kAll) {
      activate(a, each);
    } else if (a.activation == QuantizedProductArgs::Activation::kClamp) {
      each([&](float v) { return fminf(fmaxf(v, a.low), a.high); });
    }
    if (F == Finish::kBytes || is_byte(a.y_type)) {
      if constexpr (F == Finish::kAll) {
#pragma unroll
        for (int j = 0; j < 8; ++j)
#pragma unroll
          for (int e = 0; e < 2; ++e) at(j, e) = __float_as_uint(fmaf(value(j, e), a.y_factor, a.y_offset));
      }
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        words[i] = a.y_type == Element::kInt8
                       ? round_bytes<true>(value(2 * i, 0), value(2 * i, 1), value(2 * i + 1, 0), value(2 * i + 1, 1))
                       : round_bytes<false>(value(2 * i, 0), value(2 * i, 1), value(2 * i + 1, 0), value(2 * i + 1, 1));
      write_bytes(p, words, row, column, q);
    } else if (a.y_type == Element::kFloat8) {
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        words[i] = pack_float8(value(2 * i, 0) * a.y_factor, value(2 * i, 1) * a.y_factor) |
                   pack_float8(value(2 * i + 1, 0) * a.y_factor, value(2 * i + 1, 1) * a.y_factor) << 16;
      write_bytes(p, words, row, column, q);
    } else if (a.y_type != Element::kFloat32) {
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float v0 = value(4 * g + i, 0), v1 = value(4 * g + i, 1);
          // What does not fit becomes the largest finite value.
          words[i] = a.y_type == Element::kFloat16 ? pack2<__half>(fminf(fmaxf(v0, -65504.f), 65504.f), fminf(fmaxf(v1, -65504.f), 65504.f))
                                                   : pack2<__nv_bfloat16>(v0, v1);
        }
        const int c = column + 16 * q + 8 * g;
        if (there && c < a.n)
          *reinterpret_cast<uint4*>(static_cast<uint16_t*>(a.y) + base + c) = uint4{words[0], words[1], words[2], words[3]};
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int c = column + 16 * q + 4 * i;
        if (there && c < a.n)
          *reinterpret_cast<float4*>(static_cast<float*>(a.y) + base + c) =
              float4{value(2 * i, 0), value(2 * i, 1), value(2 * i + 1, 0), value(2 * i + 1, 1)};
      }
    }
  }
}

// The sums so far in units of those that follow.
template <bool FLOATS, int COUNT>
__device__ __forceinline__ void rescale(const QuantizedParams& p, uint32_t* d, float* sum, int column, int q) {
#pragma unroll
  for (int u = 0; u < COUNT / 32; ++u) {
    Columns ratios;
    ratios.load(p.a.behind.ratio, column + 64 * u, q);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int j = 8 * u + i;
      const float2 ratio = ratios.pair(i);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float r = e & 1 ? ratio.y : ratio.x;
        if constexpr (FLOATS)
          sum[4 * j + e] *= r;
        else
          d[4 * j + e] = static_cast<uint32_t>(__float2int_rn(static_cast<float>(static_cast<int>(d[4 * j + e])) * r));
      }
    }
  }
}

template <Element X, Finish F, class C>
__device__ __forceinline__ void consume(const QuantizedParams& p, uint32_t stages, uint32_t full, uint32_t empty) {
  constexpr int BN = C::BN;
  constexpr bool kFloats = X == Element::kFloat8;
  // Residual bytes of the next tile are on their way while one is finished, where there are registers for both.
  constexpr bool kAhead = F == Finish::kBytes && BN <= 128;
  constexpr int N = BN < 128 ? BN : 128, kCount = BN / 2;
  const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const auto row_of = [&](int tile_m) { return tile_m * kTileRows + group * 64 + warp * 16 + lane / 4; };
  ResidualBytes residual[BN / 64], ahead[kAhead ? BN / 64 : 1];
  const auto fetch_residual = [&](ResidualBytes* to, int tile) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
#pragma unroll
    for (int u = 0; u < BN / 64; ++u) fetch(to[u], p, row_of(tile_m), tile_n * BN + u * 64, lane & 3);
  };
  wait_for_predecessor();
  const float factor = p.a.x_factor ? __ldcg(p.a.x_factor) : 1.f;
  const bool has_residual = is_byte(p.a.residual_type) || p.a.residual_type == Element::kFloat8;
  int stage = 0;
  uint32_t phase = 0;
  if (kAhead && has_residual && blockIdx.x < p.tiles) fetch_residual(ahead, blockIdx.x);
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const int tile_m = tile / p.tiles_n, tile_n = tile - tile_m * p.tiles_n;
    const int row = row_of(tile_m);
    if (!kAhead && has_residual) fetch_residual(residual, tile);
    uint32_t d[kCount];
    [[maybe_unused]] float sum[kFloats ? kCount : 1];
    if constexpr (kFloats) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) sum[i] = 0;
    }
    int last = -1;
    for (int begin = 0, end = p.behind_step;; begin = end, end = p.k_steps) {
      // From the address of the group's rows, in units of 16 bytes: what follows 64 bytes further in K.
      const bool halves = p.halves && begin == 0;
      const int third = halves ? kTileRows * kStepBytes / 32 : 4;
      for (int step = begin; step < end; ++step) {
        barrier_wait(full + 8 * stage, phase);
        // What cp.async wrote, for wgmma, which reads by another way. It waits for all that is on its way, so only then.
        if (!p.tensor) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        const uint32_t from = stages + stage * C::kStageBytes;
        const uint64_t at_a = halves ? half_descriptor(from + group * 32 * kStepBytes) : matrix_descriptor(from + group * 64 * kStepBytes),
                       at_b = matrix_descriptor(from + kTileRows * kStepBytes);
        hold<kCount>(d);
        products_begin();
#pragma unroll
        for (int kk = 0; kk < 4; ++kk)
#pragma unroll
          for (int part = 0; part < BN / N; ++part)
            multiply<X, N>(d + part * 64, further(at_a, 2 * (kk & 1) + (kk >> 1) * third),
                           further(at_b, 2 * kk + part * (128 * kStepBytes >> 4)),
                           kk > 0 || (kFloats ? (step - begin) % kPartialSteps > 0 : step > 0));
        products_commit();
        hold<kCount>(d);
        if (kFloats && ((step - begin) % kPartialSteps == kPartialSteps - 1 || step + 1 == end)) {
          products_wait<0>();
          hold<kCount>(d);
          if (lane == 0) {
            if (last >= 0) barrier_arrive(empty + 8 * last);
            barrier_arrive(empty + 8 * stage);
          }
          last = -1;
          if constexpr (kFloats) {
#pragma unroll
            for (int i = 0; i < kCount; ++i) sum[i] += __uint_as_float(d[i]);
          }
        } else {
          products_wait<1>();
          if (last >= 0 && lane == 0) barrier_arrive(empty + 8 * last);
          last = stage;
        }
        if (++stage == C::kStages) stage = 0, phase ^= 1;
      }
      if constexpr (!kFloats) {
        products_wait<0>();
        hold<kCount>(d);
        if (last >= 0 && lane == 0) barrier_arrive(empty + 8 * last);
        last = -1;
      }
      if (end == p.k_steps) break;
      rescale<kFloats, kCount>(p, d, sum, tile_n * BN, lane & 3);
    }
    if constexpr (kFloats) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) d[i] = __float_as_uint(sum[i]);
    }
    if constexpr (kAhead) {
#pragma unroll
      for (int u = 0; u < BN / 64; ++u) residual[u] = ahead[u];
      if (has_residual && tile + gridDim.x < p.tiles) fetch_residual(ahead, tile + gridDim.x);
    }
#pragma unroll
    for (int u = 0; u < BN / 64; ++u) {
      const int column = tile_n * BN + u * 64;
      if (column < p.a.n) finish<kFloats, F>(p, d + 32 * u, residual[u], factor, row, column, lane & 3);
    }
  }
}

template <Element X, Finish F, class C>
__global__ void __launch_bounds__(kThreads, C::kBlocks) quantized_kernel(const __grid_constant__ QuantizedParams p) {
#ifdef CAMEO_WGMMA
  extern __shared__ uint8_t memory[];
  const uint32_t stages = (shared_address(memory) + 1023) & ~1023u;
  const uint32_t full = stages + C::kStages * C::kStageBytes, empty = full + 8 * C::kStages;
  launch_dependents();
  if (threadIdx.x == 0) {
    if (p.tensor) asm volatile("prefetch.tensormap [%0];" ::"l"(&p.map) : "memory");
    for (int i = 0; i < C::kStages; ++i) {
      barrier_init(full + 8 * i, p.tensor ? 1 : 129);  // the threads that gather, and the one that asks for W
      barrier_init(empty + 8 * i, 8);                  // the warps that multiply
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(C::kGatherRegisters));
    if (!p.tensor)
      produce<C>(p, stages, full, empty);
    else if (threadIdx.x == 0)
      produce_rows<C>(p, stages, full, empty);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(C::kMultiplyRegisters));
    consume<X, F, C>(p, stages, full, empty);
  }
#else
  __trap();
#endif
}

template <Element X, Finish F, class C>
cudaError_t launch_quantized(QuantizedParams& p, const DeviceTraits& device, cudaStream_t stream) {
  p.tiles_n = (p.a.n + C::BN - 1) / C::BN;
  p.tiles = (p.m + kTileRows - 1) / kTileRows * p.tiles_n;
  const auto kernel = &quantized_kernel<X, F, C>;
  const int most = device.multiprocessors * C::kBlocks;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tiles < most ? p.tiles : most)),
                          .block = dim3(kThreads),
                          .shared = C::kShared,
                          .dependent = p.a.dependent};
  return launch(kernel, shape, stream, p);
}

template <Element X>
cudaError_t launch_variant(QuantizedParams& p, const DeviceTraits& device, cudaStream_t stream) {
  using Activation = QuantizedProductArgs::Activation;
  const QuantizedProductArgs& a = p.a;
  if constexpr (X != Element::kFloat8) {
    const bool bytes = (a.y_type == Element::kUint8 || a.y_type == Element::kInt8) && !a.x_factor && a.residual_type <= Element::kInt8 &&
                       a.activation <= Activation::kClamp && a.y_factor == 1 && a.y_offset == 0;
    if (bytes) switch (a.variant) {
        case 0:
          return launch_quantized<X, Finish::kBytes, Config<64, 2>>(p, device, stream);
        case 1:
          return launch_quantized<X, Finish::kBytes, Config<128, 1>>(p, device, stream);
        case 2:
          return launch_quantized<X, Finish::kBytes, Config<256, 1>>(p, device, stream);
        default:
          return launch_quantized<X, Finish::kBytes, Config<64, 1>>(p, device, stream);
      }
  }
  // What follows takes registers: fewer shapes of tiles.
  if (a.variant == 0 || a.variant == 3) return launch_quantized<X, Finish::kAll, Config<64, 2>>(p, device, stream);
  return launch_quantized<X, Finish::kAll, Config<128, 1>>(p, device, stream);
}

}  // namespace
}  // namespace cameo::cuda
