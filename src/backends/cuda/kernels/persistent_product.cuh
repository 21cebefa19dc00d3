// The pieces of a persistent kernel for few rows: one block a multiprocessor, weights that stream through a ring in shared
// memory without ever waiting for data, and small vectors that go from all multiprocessors to all by words with epochs.
//
// A block has kConsumers threads that compute and a warp that feeds the ring. Both walk through the same phases in the same
// order; a phase's tiles (8 rows of W) are dealt to blocks by Deal, so that both know what a block has.
#pragma once

#include "backends/cuda/kernels/persistent_device.cuh"
#include "backends/cuda/kernels/persistent_shape.h"

namespace cameo::cuda {

constexpr int kConsumerWarps = 8, kConsumers = 32 * kConsumerWarps, kPersistentThreads = kConsumers + 32, kTileGroup = 4;

// What a block has of a phase: units first, first + step, ... of chunk `chunk`, when the phase begins at block `start`.
struct Deal {
  int first = 0, step = 1, count = 0, chunk = 0;
  __device__ __forceinline__ Deal(const Dealing& d, int blocks, int block, int& start) {
    first = block - start;
    if (first < 0) first += blocks;
    while (chunk < d.groups && first >= d.group) first -= d.group, ++chunk;
    step = d.group;
    count = chunk < d.groups ? d.rounds + (first < d.units - d.rounds * d.group) : 0;
    start += d.turn;
    if (start >= blocks) start -= blocks;
  }
  __device__ __forceinline__ int tile(int i, int pair) const { return ((first + (i >> pair) * step) << pair) + (i & pair); }
};

// Stages in shared memory; both sides count through them. Offsets are bytes from the block's shared memory, where the barriers
// of full stages lie, kMostStages behind them those of empty ones.
struct Ring {
  unsigned char* shared;
  int first, end, bytes;
  int at, barrier = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ Ring(unsigned char* shared, int first, int stages, int bytes)
      : shared(shared), first(first), end(first + stages * bytes), bytes(bytes), at(first) {}
  __device__ __forceinline__ uint64_t* full() const { return reinterpret_cast<uint64_t*>(shared + barrier); }
  __device__ __forceinline__ uint64_t* empty() const { return reinterpret_cast<uint64_t*>(shared + barrier + 8 * kMostStages); }
  __device__ __forceinline__ unsigned char* stage() const { return shared + at; }
  __device__ __forceinline__ void advance() {
    at += bytes, barrier += 8;
    if (at == end) at = first, barrier = 0, parity ^= 1;
  }
  __device__ __forceinline__ void wait_full() const { wait_bounded(full(), parity); }
  __device__ __forceinline__ void wait_empty() const { wait_bounded(empty(), parity ^ 1); }
  // By a whole warp that has read what it needs.
  __device__ __forceinline__ void release(int lane) {
    __syncwarp();
    if (lane == 0) mbarrier_arrive(empty());
    advance();
  }
};

// The feeding warp: this block's tiles of a product.
__device__ __forceinline__ void stream_product(Ring& ring, const ProductShape& s, const void* w, const Deal& deal, int lane) {
  const int stride = row_stride(s.kc);
#pragma unroll 1
  for (int i = 0; i < deal.count << s.pair; ++i) {
    const int64_t row = min(deal.tile(i, s.pair) * 8 + (lane & 7), s.n - 1);
    const auto* from = static_cast<const unsigned char*>(w) + 2 * (row * s.k + static_cast<int64_t>(deal.chunk) * s.local());
#pragma unroll 1
    for (int part = 0; part < s.parts; ++part) {
      ring.wait_empty();
      if (lane == 0) mbarrier_expect(ring.full(), 16 * s.kc);
      __syncwarp();
      if (lane < 8) copy_bulk(ring.stage() + lane * stride, from + part * 2 * s.kc, 2 * s.kc, ring.full());
      ring.advance();
    }
  }
}

// Loads w[i] from address(i) for each bit i of `wanted` until all are of the epoch; all that miss are under way at once.
template <int N, typename F>
__device__ __forceinline__ void poll_words(ulonglong2 (&w)[N], uint32_t wanted, uint32_t epoch, F&& address) {
  Patience patience;
  while (true) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (wanted >> i & 1) w[i] = load_words(address(i));
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (static_cast<uint32_t>(w[i].x >> 32) == epoch && static_cast<uint32_t>(w[i].y >> 32) == epoch) wanted &= ~(1u << i);
    if (!wanted) return;
    patience.check();
  }
}

// How rows of a batch of up to B lie over the consumers: kPerRow warps share a row.
template <int B>
struct RowMap {
  static constexpr int kPerRow = B == 1 ? 8 : B <= 4 ? 2 : 1, kStep = kConsumerWarps / kPerRow, kSpan = 32 * kPerRow;
  int first, lane;
  __device__ __forceinline__ explicit RowMap(int tid) : first(tid / kSpan), lane(tid % kSpan) {}
};

// Numbers 4 quad to 4 quad + 3 of a row, to where stages' products read them. A block of 32 numbers of rows m and m + 8 is 128
// bytes: for each half of 16 bytes of weights, for each 8 numbers, two of row m, two of row m + 8, two more of each.
__device__ __forceinline__ void put_quad(unsigned char* xs, int stride, int row, int quad, uint32_t low, uint32_t high) {
  auto* to =
      reinterpret_cast<uint32_t*>(xs + (row & 7) * stride + (quad >> 3) * 128 + (quad & 1) * 64 + (quad >> 1 & 3) * 16 + (row >> 3) * 4);
  to[0] = low, to[2] = high;
}

// Words of two 16-bit numbers to rows in shared memory: `k` numbers of each of `batch` rows that are `words` words apart.
template <int B, int U>
__device__ __forceinline__ void stage_words(unsigned char* xs, int k, const unsigned long long* from, int words, int batch, uint32_t epoch,
                                            int tid) {
  constexpr int SPAN = RowMap<B>::kSpan;
  const RowMap<B> map(tid);
  const int quads = k / 4, stride = pair_stride(k);
#pragma unroll 1
  for (int row = map.first; row < batch; row += RowMap<B>::kStep)
#pragma unroll 1
    for (int base = map.lane; base < quads; base += U * SPAN) {
      ulonglong2 w[U] = {};
      const unsigned long long* at = from + static_cast<int64_t>(row) * words;
      const auto address = [&](int u) { return at + 2 * (base + u * SPAN); };
      uint32_t wanted = 0;
#pragma unroll
      for (int u = 0; u < U; ++u) wanted |= base + u * SPAN < quads ? 1u << u : 0;
      poll_words(w, wanted, epoch, address);
#pragma unroll
      for (int u = 0; u < U; ++u)
        if (wanted >> u & 1) put_quad(xs, stride, row, base + u * SPAN, static_cast<uint32_t>(w[u].x), static_cast<uint32_t>(w[u].y));
    }
}

// Which sums of a group of tiles a thread finishes: of tile `mine` of the group, row and pair of columns. M16: more than 8 rows.
template <bool M16>
struct SumPlace {
  static constexpr int kPairs = M16 ? 64 : 32;  // of a tile
  int mine, row, pair;
  __device__ __forceinline__ explicit SumPlace(int tid) : mine(tid / kPairs), row(tid % 32 / 4 + tid % kPairs / 32 * 8), pair(tid % 4) {}
};

// A value that was read from the kernel's parameters stays in its register: with a computed place there it takes long to read.
__device__ __forceinline__ int held(int v) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(v));
#endif
  return v;
}

// This block's tiles of a product with the staged rows xs. The constructor comes before the rows are there: what it does costs
// nothing then. begin(tile) is called early for the sums that finish(sums, sums of the tile behind) gets after it.
template <typename T, bool M16>
class Product {
 public:
  static constexpr int PAIRS = SumPlace<M16>::kPairs;
  template <typename Begin>
  __device__ __forceinline__ Product(const ProductShape& shape, const Deal& deal, unsigned char* xs, int batch, int tid,
                                     const SumPlace<M16>& place, Begin&& begin)
      : deal_(deal),
        place_(place),
        pair_(held(shape.pair)),
        parts_(held(shape.parts)),
        part_bytes_(held(2 * shape.kc)),
        tiles_(deal.count << pair_) {
    const int lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
    blocks_ = (part_bytes_ / 64 - warp + kConsumerWarps - 1) / kConsumerWarps;
    w_ = g * row_stride(part_bytes_ / 2) + warp * 64 + t * 16;
    x_ = xs + min(g, batch - 1) * pair_stride(parts_ * part_bytes_ / 2) + warp * 128 + t * 16;
    sums_up_ = used(0, batch);
    if (sums_up_) begin(deal_.tile(place_.mine, pair_));
  }

  template <typename Begin, typename Finish>
  __device__ __forceinline__ void run(Ring& ring, float2* sums, int& turn, int batch, int tid, Begin&& begin, Finish&& finish) {
    constexpr int kStep = kConsumerWarps * 64, kMostBlocks = kMostPart / 32 / kConsumerWarps;  // a warp's blocks of 32 numbers
    const int lane = tid & 31, warp = tid >> 5;
#pragma unroll 1
    for (int i = 0; i < tiles_; ++i) {
      const int j = i % kTileGroup;
      if (i && j == 0) {
        sums_up_ = used(i, batch);
        if (sums_up_) begin(deal_.tile(i + place_.mine, pair_));
      }
      float acc[2][4] = {};
#pragma unroll 1
      for (int part = 0; part < parts_; ++part) {
        ring.wait_full();
        const unsigned char* w = ring.stage() + w_;
        const unsigned char* x = x_ + 2 * part * part_bytes_;
        uint4 wv[kMostBlocks], xv[kMostBlocks][2];
#pragma unroll
        for (int q = 0; q < kMostBlocks; ++q) {
          if (q >= blocks_) continue;
          wv[q] = *reinterpret_cast<const uint4*>(w + q * kStep);
          xv[q][0] = *reinterpret_cast<const uint4*>(x + 2 * q * kStep), xv[q][1] = *reinterpret_cast<const uint4*>(x + 2 * q * kStep + 64);
        }
#pragma unroll
        for (int q = 0; q < kMostBlocks; ++q)
          if (q < blocks_) multiply(acc, xv[q][0], xv[q][1], wv[q]);
        ring.release(lane);
      }
      float2* out = sums + ((turn * kConsumerWarps + warp) * kTileGroup + j) * PAIRS + lane;
      out[0] = {acc[0][0] + acc[1][0], acc[0][1] + acc[1][1]};
      if (M16) out[32] = {acc[0][2] + acc[1][2], acc[0][3] + acc[1][3]};
      if (j + 1 < kTileGroup && i + 1 < tiles_) continue;
      barrier_threads(kConsumers);
      if (sums_up_) {
        const float2* in = sums + turn * kConsumerWarps * kTileGroup * PAIRS + tid;
        finish(sum(in), pair_ ? sum(in + PAIRS) : float2{});
      }
      turn ^= 1;  // the next group's sums go elsewhere: one meeting a group is enough
    }
  }

 private:
  __device__ __forceinline__ bool used(int i0, int batch) const {
    return place_.mine < kTileGroup && i0 + place_.mine < tiles_ && place_.row < batch && (place_.mine & pair_) == 0;
  }
  static __device__ __forceinline__ void multiply(float (&acc)[2][4], const uint4& x0, const uint4& x1, const uint4& w) {
    const uint32_t a0[4] = {x0.x, x0.y, x0.z, x0.w}, a1[4] = {x1.x, x1.y, x1.z, x1.w};
    mma16816<T>(acc[0], a0, w.x, w.y);
    mma16816<T>(acc[1], a1, w.z, w.w);
  }
  static __device__ __forceinline__ float2 sum(const float2* in) {
    float2 part[kConsumerWarps];
#pragma unroll
    for (int w = 0; w < kConsumerWarps; ++w) part[w] = in[w * kTileGroup * PAIRS];
#pragma unroll
    for (int n = kConsumerWarps / 2; n > 0; n /= 2)
#pragma unroll
      for (int w = 0; w < n; ++w) part[w].x += part[w + n].x, part[w].y += part[w + n].y;
    return part[0];
  }

  Deal deal_;
  SumPlace<M16> place_;
  int pair_, parts_, part_bytes_, tiles_, blocks_, w_;
  const unsigned char* x_;
  bool sums_up_;
};

}  // namespace cameo::cuda
