#include "backends/cuda/kernels/step_product.h"

#include <type_traits>

#include "backends/cuda/kernels/cluster_exchange.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/skinny_gemm.cuh"
#include "backends/cuda/kernels/wgmma.cuh"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 256, kRows = 64;
constexpr int kTile = 64, kTileBytes = kTile * 128, kPitch = 80;  // columns of a block and k of a tile; floats of a row of sums
constexpr int kMaxParts = 8;

// How a product is divided, and what lies where in a block's shared memory, in bytes behind a multiple of 1024.
struct Division {
  int parts, each, own;  // of k; tiles of k and rows of y that a block has at most
  int own_inverse;       // row / own = row * own_inverse >> 16
  int sums, rows, barrier, total;
  Division(int m, int k, int parts) : parts(parts) {
    each = (k / kTile + parts - 1) / parts, own = (m + parts - 1) / parts, own_inverse = 65536 / own + 1;
    sums = 2 * each * kTileBytes, rows = sums + parts * own * kPitch * 4, barrier = rows + own * 8, total = barrier + 8 + 1023;
  }
};

__device__ __forceinline__ unsigned char* at_1024(unsigned char* memory) {
  return memory + (1024 - (shared_address(memory) & 1023)) % 1024;
}

__device__ __forceinline__ float activate_fast(Activation f, float x) {
  if (f == Activation::kGeluTanh) return __fdividef(x, 1.f + __expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
  if (f == Activation::kNone) return x;
  return activate(f, x);
}

// Mean and 1 / deviation of a row from its parts; 16 lanes have it, lane q of them parts q, q + 16, ...
template <int COUNT>
__device__ __forceinline__ float2 norm_of(const uint2* parts, int q, int count, NormKind kind, int size, float epsilon) {
  float sum = 0.f, spread = 0.f;
#pragma unroll
  for (int i = 0; i < COUNT; ++i) sum += __uint_as_float(parts[i].x), spread += __uint_as_float(parts[i].y);
#pragma unroll
  for (int x = 1; x < 16; x <<= 1) sum += __shfl_xor_sync(~0u, sum, x);
  const float mean = kind == NormKind::kLayer ? __fdividef(sum, static_cast<float>(count)) : 0.f;
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    const float from_mean = __uint_as_float(parts[i].x) - mean;
    if (q + 16 * i < count) spread += kTile * from_mean * from_mean;
  }
#pragma unroll
  for (int x = 1; x < 16; x <<= 1) spread += __shfl_xor_sync(~0u, spread, x);
  return make_float2(mean, rsqrtf(__fdividef(spread, static_cast<float>(size)) + epsilon));
}

// 64 columns and a part of k of a block; a warpgroup has 32 of the columns. Row p of W in shared memory is the one that gives a
// thread four neighbouring columns.
template <typename T>
__global__ void __launch_bounds__(CAMEO_WGMMA_THREADS(kThreads), 2)
    product_kernel(const __grid_constant__ StepProductArgs a, const __grid_constant__ Division d) {
  extern __shared__ __align__(128) unsigned char memory[];
  unsigned char* const shared = at_1024(memory);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3, half = warp >> 2;
  const int parts = d.parts, part = blockIdx.x, n0 = blockIdx.y * kTile, own = d.own;
  const int first = part * d.each, count = max(0, min(d.each, a.k / kTile - first));
  const int own_here = max(0, min(own, a.m - part * own));
  float* const sums = reinterpret_cast<float*>(shared + d.sums);
  float2* const rows = reinterpret_cast<float2*>(shared + d.rows);
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(shared + d.barrier);
  launch_dependents();
  if (parts > 1) {
    if (tid == 0) begin_exchange(barrier, static_cast<uint32_t>(parts * own_here * kTile * 4));
    cluster_arrive_relaxed();
  }

  // W, then x; a thread copies a piece of rows `row` and `row` + 32 of each tile.
  const int row = tid >> 3, piece = tid & 7;
  unsigned char* const to = shared + row * 128 + ((piece ^ (row & 7)) << 4);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int p = row + i * 32, n = n0 + (p & ~15) + (p >> 1 & 3) * 4 + (p >> 3 & 1) * 2 + (p & 1);
    const T* from = static_cast<const T*>(a.w) + static_cast<int64_t>(min(n, a.n - 1)) * a.k + first * kTile + piece * 8;
    for (int j = 0; j < count; ++j) copy_async16(to + j * kTileBytes + i * 32 * 128, from + j * kTile, n < a.n);
  }
  copy_async_commit();

  // This thread's results: four columns of rows row0, row0 + row_step, ... of those that the block finishes.
  const bool glu = a.activation == Activation::kSwiGlu;
  const int quads = glu ? 8 : 16, quad = tid & (quads - 1), row0 = glu ? tid >> 3 : tid >> 4, row_step = kThreads / quads;
  const int column = glu ? quad / 2 * 16 + quad % 2 * 4 : quad * 4, n = n0 + column, y_columns = glu ? a.n / 2 : a.n,
            y_at = glu ? n0 / 2 + quad * 4 : n;
  const auto read4 = [&](const void* p, int at, float(&v)[4]) {
    v[0] = v[1] = v[2] = v[3] = 0.f;
    if (!p || n >= a.n) return;
    const uint2 u = *reinterpret_cast<const uint2*>(static_cast<const T*>(p) + at);
    const float2 low = unpack2<T>(u.x), high = unpack2<T>(u.y);
    v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
  };
  float lost[2][4] = {}, gained[2][4] = {}, next[4];  // what the norm's mean takes and its bias and the bias give
  if (a.parts) {
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (n < a.n && (i == 0 || glu)) {
        const float4* from = reinterpret_cast<const float4*>(a.norm_sums + 2 * (n + 8 * i));
        const float4 low = from[0], high = from[1];
        lost[i][0] = low.x, lost[i][1] = low.z, lost[i][2] = high.x, lost[i][3] = high.z;
        gained[i][0] = low.y, gained[i][1] = low.w, gained[i][2] = high.y, gained[i][3] = high.w;
      }
  } else {
    read4(a.bias, n, gained[0]);
    if (glu) read4(a.bias, n + 8, gained[1]);
  }
  read4(a.next_weight, n, next);
  wait_for_predecessor();

  const int early = (count + 1) / 2;
  unsigned char* const x_to = to + d.each * kTileBytes;
  const T* const x_from = static_cast<const T*>(a.x) + static_cast<int64_t>(min(row, a.m - 1)) * a.k + first * kTile + piece * 8;
  const int64_t lower = static_cast<int64_t>(min(row + 32, a.m - 1) - min(row, a.m - 1)) * a.k;
  for (int j = 0; j < count; ++j) {
    copy_async16(x_to + j * kTileBytes, x_from + j * kTile, row < a.m);
    if (a.m > 32) copy_async16(x_to + j * kTileBytes + 32 * 128, x_from + lower + j * kTile, row + 32 < a.m);
    if (j + 1 == early) copy_async_commit();
  }
  copy_async_commit();
  const auto residual_at = [&](int r) {
    return a.residual && r < own_here && n < a.n
               ? load_fresh8(static_cast<const T*>(a.residual) + static_cast<int64_t>(part * own + r) * y_columns + y_at)
               : uint2{};
  };
  const uint2 residual0 = residual_at(row0);
  // Parts of rows that this block finishes; 16 lanes have a row.
  const int pieces = a.k / kTile, q = lane & 15, r0 = warp * 2 + (lane >> 4);
  const auto part_at = [&](int r, int i) {
    return a.parts && r < own_here && q + 16 * i < pieces
               ? load_fresh8(a.parts + static_cast<int64_t>(part * own + r) * pieces + q + 16 * i)
               : uint2{};
  };
  uint2 known[2][2];
#pragma unroll
  for (int i = 0; i < 4; ++i) known[i / 2][i % 2] = part_at(r0 + i / 2 * 16, i % 2);

  float acc[4][4];
  const uint32_t w_at = shared_address(shared) + half * 32 * 128, x_at = shared_address(shared) + d.each * kTileBytes;
  const auto multiply = [&](int from, int until) {
    wgmma_begin();
    for (int j = from; j < until; ++j)
#pragma unroll
      for (int kk = 0; kk < kTile / 16; ++kk)
        wgmma32<T>(acc, wgmma_tile(x_at + j * kTileBytes) + 2 * kk, wgmma_tile(w_at + j * kTileBytes) + 2 * kk, (j | kk) != 0);
    wgmma_commit();
  };
  copy_async_wait<1>();
  fence_for_wgmma();
  __syncthreads();
  multiply(0, early);
  copy_async_wait<0>();
  fence_for_wgmma();
  __syncthreads();
  multiply(early, count);
  wgmma_wait<0>();
  if (count == 0)
#pragma unroll
    for (int i = 0; i < 16; ++i) acc[i / 4][i % 4] = 0.f;
  if (parts > 1) cluster_wait();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int m = (warp & 3) * 16 + h * 8 + g, rank = m * d.own_inverse >> 16;
    if (m >= a.m) continue;
    float* const at = sums + (part * own + m - rank * own) * kPitch + half * 32 + 4 * t;
#pragma unroll
    for (int c = 0; c < 2; ++c)
      if (parts > 1)
        send4(at + c * 16, barrier, rank, acc[2 * c][2 * h], acc[2 * c][2 * h + 1], acc[2 * c + 1][2 * h], acc[2 * c + 1][2 * h + 1]);
      else
        *reinterpret_cast<float4*>(at + c * 16) =
            make_float4(acc[2 * c][2 * h], acc[2 * c][2 * h + 1], acc[2 * c + 1][2 * h], acc[2 * c + 1][2 * h + 1]);
  }
  // Mean and 1 / deviation of rows meanwhile.
  if (a.parts)
#pragma unroll 1
    for (int base = 0; base < own_here; base += 16) {
      const int r = r0 + base;
      uint2 u[2] = {known[0][0], known[0][1]};
      if (base == 16) u[0] = known[1][0], u[1] = known[1][1];
      if (base > 16) u[0] = part_at(r, 0), u[1] = part_at(r, 1);
      const float2 norm = norm_of<2>(u, q, pieces, a.norm, a.k, a.epsilon);
      if (q == 0 && r < own_here) rows[r] = norm;
    }
  __syncthreads();
  if (parts > 1) mbarrier_wait_cluster(barrier, 0);

#pragma unroll 1
  for (int r = row0; r < own_here; r += row_step) {
    const int64_t to_y = static_cast<int64_t>(part * own + r) * y_columns + y_at;
    const float2 norm = a.parts ? rows[r] : make_float2(0.f, 1.f / kScaledBy);
    const auto total = [&](const float* from, const float(&less)[4], const float(&more)[4], float(&v)[4]) {
      float4 u[kMaxParts];
#pragma unroll
      for (int p = 0; p < kMaxParts; ++p) u[p] = p < parts ? *reinterpret_cast<const float4*>(from + p * own * kPitch) : float4{};
#pragma unroll
      for (int p = 1; p < kMaxParts; ++p) u[0].x += u[p].x, u[0].y += u[p].y, u[0].z += u[p].z, u[0].w += u[p].w;
      v[0] = u[0].x, v[1] = u[0].y, v[2] = u[0].z, v[3] = u[0].w;
#pragma unroll
      for (int e = 0; e < 4; ++e) v[e] = norm.y * (kScaledBy * v[e] - norm.x * less[e]) + more[e];
    };
    float v[4];
    total(sums + r * kPitch + column, lost[0], gained[0], v);
    if (glu) {
      float up[4];
      total(sums + r * kPitch + column + 8, lost[1], gained[1], up);
#pragma unroll
      for (int e = 0; e < 4; ++e) v[e] = __fdividef(v[e], 1.f + __expf(-v[e])) * up[e];
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) v[e] = activate_fast(a.activation, v[e]);
    }
    if (a.residual) {
      const uint2 residual = r == row0 ? residual0 : residual_at(r);
      const float2 low = unpack2<T>(residual.x), high = unpack2<T>(residual.y);
      v[0] += low.x, v[1] += low.y, v[2] += high.x, v[3] += high.y;
    }
    const uint2 packed{pack2<T>(v[0], v[1]), pack2<T>(v[2], v[3])};
    if (n < a.n) *reinterpret_cast<uint2*>(static_cast<T*>(a.y) + to_y) = packed;
    if (!a.parts_out) continue;
    constexpr float by = 1.f / kScaledBy;
    const float2 l = unpack2<T>(packed.x), u = unpack2<T>(packed.y);  // 16 lanes have a row's 64 columns
    *reinterpret_cast<uint2*>(static_cast<T*>(a.scaled_out) + to_y) = {pack2<T>(l.x * next[0] * by, l.y * next[1] * by),
                                                                       pack2<T>(u.x * next[2] * by, u.y * next[3] * by)};
    const unsigned lanes = 0xffffu << (lane & 16);
    float sum = l.x + l.y + u.x + u.y;
#pragma unroll
    for (int x = 1; x < 16; x <<= 1) sum += __shfl_xor_sync(lanes, sum, x);
    const float mean = sum / kTile;
    float spread = (l.x - mean) * (l.x - mean) + (l.y - mean) * (l.y - mean) + (u.x - mean) * (u.x - mean) + (u.y - mean) * (u.y - mean);
#pragma unroll
    for (int x = 1; x < 16; x <<= 1) spread += __shfl_xor_sync(lanes, spread, x);
    if (quad == 0) a.parts_out[static_cast<int64_t>(part * own + r) * (a.n / kTile) + blockIdx.y] = {mean, spread};
  }
}

// About as many blocks as multiprocessors; more where they do not fit.
int parts_of(int m, int n, int k, const DeviceTraits& device) {
  const int tiles = k / kTile, columns = (n + kTile - 1) / kTile;
  int parts = 1;
  while (parts < kMaxParts && parts < tiles && columns * parts * 2 * 8 <= device.multiprocessors * 9) parts *= 2;
  while (parts < kMaxParts && Division(m, k, parts).total > device.shared_memory) parts *= 2;
  return parts;
}

// A block has tiles of 128 columns, one after another, of which stages of 64 numbers of k pass through a ring; x stays, or
// passes with them where it is long (RING). A warpgroup has 64 of the columns.
// With few rows only those that there are lie in shared memory, in tiles of x_rows(); what the product makes of those behind them is
// not looked at. Then there is room for more stages, also beside a block of the kernel before.
constexpr int kHeadTile = 128, kStageBytes = kHeadTile * 128, kStages = 6, kFewRows = 16, kFewRowsStages = 8;
template <int STAGES>
__host__ __device__ __forceinline__ int x_rows(int m) {
  return STAGES == kFewRowsStages ? (m + 7) / 8 * 8 : kRows;
}

template <typename T, bool RING, int STAGES>
__global__ void __launch_bounds__(CAMEO_WGMMA_THREADS(kThreads))
    head_kernel(const __grid_constant__ StepHeadArgs a, const __grid_constant__ SkinnySampling q) {
  extern __shared__ __align__(128) unsigned char memory[];  // stages, x
  __shared__ unsigned long long found[2][kRows];
  __shared__ bool is_last;
  unsigned char* const shared = at_1024(memory);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3, half = warp >> 2;
  const int k_tiles = a.k / kTile, tiles = (a.n + kHeadTile - 1) / kHeadTile;
  const int mine = (tiles - static_cast<int>(blockIdx.x) + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x);
  int left = mine * k_tiles;
  launch_dependents();
  const int row = tid >> 3, piece = tid & 7;
  unsigned char* const to = shared + row * 128 + ((piece ^ (row & 7)) << 4);
  const int x_tiles = RING ? STAGES : k_tiles, x_tile = x_rows<STAGES>(a.m) * 128;
  float2* const rows = reinterpret_cast<float2*>(shared + STAGES * kStageBytes + (x_tiles - 1) * x_tile + kTileBytes);
  float2* const column_sums = rows + kRows;  // of two tiles
  int load_tile = blockIdx.x, load_k = 0, load_slot = 0, load_sums = 0;
  const auto load_w = [&] {  // the next stage
    if (a.parts && load_k == 0) {
      const int n = load_tile * kHeadTile + 2 * tid;
      if (tid < kHeadTile / 2) copy_async16(column_sums + load_sums + 2 * tid, a.norm_sums + 2 * (n < a.n ? n : 0), n < a.n);
      load_sums ^= kHeadTile;
    }
#pragma unroll
    for (int i = 0; i < kHeadTile / 32; ++i) {
      const int n = load_tile * kHeadTile + row + i * 32;
      copy_async16(to + load_slot * kStageBytes + i * 32 * 128,
                   static_cast<const T*>(a.w) + static_cast<int64_t>(min(n, a.n - 1)) * a.k + load_k * kTile + piece * 8, n < a.n);
    }
    if (++load_slot == STAGES) load_slot = 0;
    if (++load_k == k_tiles) load_k = 0, load_tile += gridDim.x;
  };
  for (int s = 0; s < STAGES - 1; ++s)
    if (s < left) load_w();
  wait_for_predecessor();
  int x_k = 0, x_slot = 0;
  const auto load_x = [&] {  // the next tile
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = row + i * 32;
      if (STAGES == kFewRowsStages ? m < x_rows<STAGES>(a.m) : i * 32 < a.m)
        copy_async16(to + STAGES * kStageBytes + x_slot * x_tile + i * 32 * 128,
                     static_cast<const T*>(a.x) + static_cast<int64_t>(min(m, a.m - 1)) * a.k + x_k * kTile + piece * 8, m < a.m);
    }
    if (++x_slot == x_tiles) x_slot = 0;
    if (++x_k == k_tiles) x_k = 0;
  };
  for (int j = 0; j < (RING ? min(left, STAGES - 1) : k_tiles); ++j) load_x();
  copy_async_commit();
#pragma unroll
  for (int s = 0; s < STAGES - 2; ++s) copy_async_commit();  // all of them lie in the first group

  if (a.parts) {
    const int q = lane & 15;
    uint2 u[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int m = warp * 8 + i * 2 + (lane >> 4);
      u[i] = m < a.m && q < k_tiles ? load_fresh8(a.parts + m * k_tiles + q) : uint2{};
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 norm = norm_of<1>(&u[i], q, k_tiles, a.norm, a.k, a.epsilon);
      if (q == 0) rows[warp * 8 + i * 2 + (lane >> 4)] = norm;
    }
  }

  float best[2] = {-INFINITY, -INFINITY};
  int best_at[2] = {};
  const uint32_t x_at = shared_address(shared) + STAGES * kStageBytes, w_at = shared_address(shared) + half * kTileBytes;
  int slot = 0, sums_at = 0;
  const bool simple = !a.bias && !a.logits && q.inverse_temperature == 0.f;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    float acc[8][4];
    for (int j = 0; j < k_tiles; ++j) {
      copy_async_wait<STAGES - 2>();
      fence_for_wgmma();
      __syncthreads();
      wgmma_begin();
#pragma unroll
      for (int kk = 0; kk < kTile / 16; ++kk)
        wgmma64<T>(acc, wgmma_tile(x_at + (RING ? slot : j) * x_tile) + 2 * kk, wgmma_tile(w_at + slot * kStageBytes) + 2 * kk,
                   (j | kk) != 0);
      wgmma_commit();
      if (--left >= STAGES - 1) {
        load_w();
        if constexpr (RING) load_x();
      }
      copy_async_commit();
      if (++slot == STAGES) slot = 0;
      wgmma_wait<0>();
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int m = (warp & 3) * 16 + h * 8 + g;
      if (m >= a.m) continue;
      const float2 norm = a.parts ? rows[m] : float2{};
      if (simple && (tile + 1) * kHeadTile <= a.n) {
        const int n0 = tile * kHeadTile + half * 64 + 2 * t;
#pragma unroll
        for (int c = 0; c < 8; ++c) {
          float v[2] = {acc[c][2 * h], acc[c][2 * h + 1]};
          if (a.parts) {
            const float4 sum = *reinterpret_cast<const float4*>(column_sums + sums_at + half * 64 + c * 8 + 2 * t);
            v[0] = norm.y * (kScaledBy * v[0] - norm.x * sum.x) + sum.y, v[1] = norm.y * (kScaledBy * v[1] - norm.x * sum.z) + sum.w;
          }
#pragma unroll
          for (int e = 0; e < 2; ++e)
            if (v[e] > best[h]) best[h] = v[e], best_at[h] = n0 + c * 8 + e;
        }
        continue;
      }
#pragma unroll
      for (int c = 0; c < 8; ++c)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int n = tile * kHeadTile + half * 64 + c * 8 + 2 * t + e;
          if (n >= a.n) continue;
          float v = acc[c][2 * h + e];
          if (a.parts) {
            const float2 sum = column_sums[sums_at + half * 64 + c * 8 + 2 * t + e];
            v = norm.y * (kScaledBy * v - norm.x * sum.x) + sum.y;
          } else if (a.bias) {
            v += to_float(static_cast<const T*>(a.bias)[n]);
          }
          if (a.logits) static_cast<T*>(a.logits)[static_cast<int64_t>(m) * a.n + n] = from_float<T>(v);
          if (q.inverse_temperature != 0.f) v = with_noise(q, v, m, n);
          if (v > best[h]) best[h] = v, best_at[h] = n;
        }
    }
    sums_at ^= kHeadTile;
  }
  copy_async_wait<0>();
  if (!q.best) return;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    unsigned long long key = sampling_key(best[h], best_at[h]);
#pragma unroll
    for (int x = 1; x < 4; x <<= 1) {
      const unsigned long long other = __shfl_xor_sync(~0u, key, x);
      key = other > key ? other : key;
    }
    if (t == 0) found[half][(warp & 3) * 16 + h * 8 + g] = key;
  }
  __syncthreads();
  if (tid < a.m) {
    atomicMax(q.best + tid, max(found[0][tid], found[1][tid]));
    __threadfence();
  }
  __syncthreads();
  if (tid == 0) is_last = atomicAdd(q.blocks_done, 1u) == gridDim.x - 1;
  __syncthreads();
  if (is_last && tid < a.m) {
    __threadfence();
    choose_token(q, tid, static_cast<int>(~static_cast<uint32_t>(atomicExch(q.best + tid, 0ull))));
    if (tid == 0) *q.blocks_done = 0;
  }
}

// A warp has a row of W.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    norm_sums_kernel(int n, int k, const T* w, const T* bias, const T* norm_weight, const T* norm_bias, float* to) {
  const int i = blockIdx.x * (kThreads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (i >= n) return;
  float by_weight = 0.f, by_bias = 0.f;
  for (int j = lane; j < k; j += 32) {
    const float v = to_float(w[static_cast<int64_t>(i) * k + j]);
    by_weight += v * to_float(norm_weight[j]);
    if (norm_bias) by_bias += v * to_float(norm_bias[j]);
  }
  by_weight = warp_sum(by_weight), by_bias = warp_sum(by_bias);
  if (lane == 0) to[2 * i] = by_weight, to[2 * i + 1] = by_bias + (bias ? to_float(bias[i]) : 0.f);
}

template <int STAGES>
int head_shared(const StepHeadArgs& a, bool ring) {
  const int x_tiles = ring ? STAGES : a.k / kTile;
  return STAGES * kStageBytes + (x_tiles - 1) * x_rows<STAGES>(a.m) * 128 + kTileBytes + 1023 +
         (a.parts ? (kRows + 2 * kHeadTile) * static_cast<int>(sizeof(float2)) : 0);
}

// Whether x stays in shared memory, beside what is declared there.
template <int STAGES>
bool head_fits(const StepHeadArgs& a, const DeviceTraits& device) {
  return head_shared<STAGES>(a, false) + 1280 <= device.shared_memory;
}

template <typename T>
cudaError_t run_product(const StepProductArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const Division d(a.m, a.k, parts_of(a.m, a.n, a.k, device));
  const LaunchShape shape{.grid = dim3(d.parts, (a.n + kTile - 1) / kTile),
                          .block = dim3(kThreads),
                          .shared = static_cast<size_t>(d.total),
                          .cluster = static_cast<unsigned>(d.parts),
                          .dependent = true};
  return launch(product_kernel<T>, shape, stream, a, d);
}

template <typename T, int STAGES>
cudaError_t run_head(const StepHeadArgs& a, const SkinnySampling& sampling, const DeviceTraits& device, cudaStream_t stream) {
  const bool ring = !head_fits<STAGES>(a, device);
  const LaunchShape shape{.grid = dim3(min((a.n + kHeadTile - 1) / kHeadTile, device.multiprocessors)),
                          .block = dim3(kThreads),
                          .shared = static_cast<size_t>(head_shared<STAGES>(a, ring)),
                          .dependent = true};
  return ring ? launch(head_kernel<T, true, STAGES>, shape, stream, a, sampling)
              : launch(head_kernel<T, false, STAGES>, shape, stream, a, sampling);
}

template <typename T>
cudaError_t run_norm_sums(int n, int k, const void* w, const void* bias, const void* norm_weight, const void* norm_bias, float* to,
                          cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3((n + kThreads / 32 - 1) / (kThreads / 32)), .block = dim3(kThreads)};
  return launch(norm_sums_kernel<T>, shape, stream, n, k, static_cast<const T*>(w), static_cast<const T*>(bias),
                static_cast<const T*>(norm_weight), static_cast<const T*>(norm_bias), to);
}

const char* refusal(Scalar type, int m, int k, std::initializer_list<const void*> operands, const DeviceTraits& device) {
  static const bool there = has_wgmma(product_kernel<__half>);
  if (device.capability != 90 || !there) return "the device has no wgmma";
  if (type == Scalar::kFloat32) return "only 16 bits are covered";
  if (m < 1 || m > kRows) return "not 1 to 64 rows";
  if (k % kTile) return "k is not a multiple of 64";
  for (const void* p : operands)
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

}  // namespace

const char* step_product_refusal(const StepProductArgs& a, const DeviceTraits& device) {
  if (const char* why = refusal(a.type, a.m, a.k, {a.x, a.w, a.bias, a.residual, a.y, a.norm_sums, a.next_weight, a.scaled_out}, device))
    return why;
  if (a.n % 16) return "n is not a multiple of 16";
  if (a.parts && (a.k > 32 * kTile || !a.norm_sums)) return "a row has more than 2048 numbers, or sums of the norm are missing";
  if (a.parts_out && (a.n % kTile || a.activation == Activation::kSwiGlu)) return "n is not a multiple of 64";
  return Division(a.m, a.k, parts_of(a.m, a.n, a.k, device)).total > device.shared_memory ? "k is too large" : nullptr;
}

cudaError_t step_product(const StepProductArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  return a.type == Scalar::kFloat16 ? run_product<__half>(a, device, stream) : run_product<__nv_bfloat16>(a, device, stream);
}

cudaError_t norm_sums(Scalar type, int32_t n, int32_t k, const void* w, const void* bias, const void* norm_weight, const void* norm_bias,
                      float* to, cudaStream_t stream) {
  return type == Scalar::kFloat16 ? run_norm_sums<__half>(n, k, w, bias, norm_weight, norm_bias, to, stream)
                                  : run_norm_sums<__nv_bfloat16>(n, k, w, bias, norm_weight, norm_bias, to, stream);
}

const char* step_head_refusal(const StepHeadArgs& a, const DeviceTraits& device) {
  if (const char* why = refusal(a.type, a.m, a.k, {a.x, a.w, a.norm_sums}, device)) return why;
  // Sums of columns are asked for with the first stage of a tile, and have two places; 16 lanes read a row's parts at once.
  if (a.parts && (!a.norm_sums || a.k < kFewRowsStages * kTile || a.k > 16 * kTile))
    return "sums of the norm are missing, or k is not covered";
  return nullptr;
}

cudaError_t step_head(const StepHeadArgs& a, const SkinnySampling& sampling, const DeviceTraits& device, cudaStream_t stream) {
  const auto run = [&](auto stages) {
    return a.type == Scalar::kFloat16 ? run_head<__half, stages()>(a, sampling, device, stream)
                                      : run_head<__nv_bfloat16, stages()>(a, sampling, device, stream);
  };
  return a.m <= kFewRows ? run(std::integral_constant<int, kFewRowsStages>{}) : run(std::integral_constant<int, kStages>{});
}

}  // namespace cameo::cuda
