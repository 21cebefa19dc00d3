#include "backends/cuda/kernels/rows_product.h"

#include <cuda.h>

#include <algorithm>

#include "backends/cuda/kernels/cluster_exchange.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/wgmma.cuh"

namespace cameo::cuda {
namespace {

constexpr int kThreads = 256, kRows = 64;            // one warpgroup multiplies, the other fetches; both finish
constexpr int kTile = 64, kTileBytes = kRows * 128;  // of k; of x
constexpr int kPart = 32;                            // columns of a RowPart
constexpr int kMostParts = 8, kAhead = 4;            // rounds whose residuals are read ahead

// How a product is divided, and what lies where in a block's shared memory, in bytes.
struct Division {
  int parts, share, each, own;  // each: tiles of k that a block has at most; own: rows of y that it finishes at most
  int own_inverse;              // row / own = row * own_inverse >> 16
  int height;                   // rows of x that are fetched at once
  int x, sums, rows, barriers, total;
  Division(const RowsProductArgs& a, const RowsTiling& t) : parts(t.parts), share(t.share) {
    each = (a.k / kTile + parts - 1) / parts, own = ((a.m < kRows ? a.m : kRows) + parts - 1) / parts, own_inverse = 65536 / own + 1;
    height = ((a.m < kRows ? a.m : kRows) + 8 * share - 1) / (8 * share) * 8;  // pieces of 1024 bytes
    x = each * t.columns * 128, sums = x + each * kTileBytes, rows = sums + parts * own * t.columns * 4;
    barriers = rows + own * 8 * ((a.parts != nullptr) + (a.residual_parts != nullptr)), total = barriers + (each + 1) * 8;
  }
};

struct Launch {
  RowsProductArgs a;
  Division d;
  CUtensorMap x, w;  // boxes of 64 of k by `height` rows, by the tile's columns
};

template <typename T>
__device__ __forceinline__ void wgmma96(float (&d)[12][4], uint64_t a, uint64_t b, bool add) {
#if CAMEO_WGMMA
#define CAMEO_OUT96                                                                                                           \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, "      \
  "%25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, %48, " \
  "%49, p, 1, 1, 0, 0;\n}"
#define CAMEO_F4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define CAMEO_REGISTERS96                                                                                                           \
  CAMEO_F4(0), CAMEO_F4(1), CAMEO_F4(2), CAMEO_F4(3), CAMEO_F4(4), CAMEO_F4(5), CAMEO_F4(6), CAMEO_F4(7), CAMEO_F4(8), CAMEO_F4(9), \
      CAMEO_F4(10), CAMEO_F4(11)
  if constexpr (__is_same(T, __half))
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\nwgmma.mma_async.sync.aligned.m64n96k16.f32.f16.f16 " CAMEO_OUT96
:CAMEO_REGISTERS96
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
  else
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\nwgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 " CAMEO_OUT96
:CAMEO_REGISTERS96
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));
#else
  __trap();
#endif
}

// The map will be used soon.
__device__ __forceinline__ void expect_map(const CUtensorMap& map) {
#if CAMEO_WGMMA
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#endif
}
// Keeps the compiler from touching sums that are under way.
template <int N>
__device__ __forceinline__ void hold(float (&d)[N][4]) {
#pragma unroll
  for (int i = 0; i < 4 * N; ++i) asm volatile("" : "+f"(d[i / 4][i % 4])::"memory");
}

// A box of the map from place (k, row) on, to this block.
__device__ __forceinline__ void fetch(uint32_t to, const CUtensorMap& map, int k, int row, uint32_t barrier) {
#if CAMEO_WGMMA
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
               "l"(&map), "r"(k), "r"(row), "r"(barrier)
               : "memory");
#endif
}
// To the same place in those blocks of the cluster whose bits are set.
__device__ __forceinline__ void fetch_for(uint16_t blocks, uint32_t to, const CUtensorMap& map, int k, int row, uint32_t barrier) {
#if CAMEO_WGMMA
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], "
      "%5;" ::"r"(to),
      "l"(&map), "r"(k), "r"(row), "r"(barrier), "h"(blocks)
      : "memory");
#endif
}

// erf by Abramowitz and Stegun 7.1.26, within 1.5e-7.
__device__ __forceinline__ float fast_gelu(float x) {
  const float z = fabsf(x) * 0.70710678118654752f, t = __fdividef(1.f, fmaf(0.3275911f, z, 1.f));
  float p = fmaf(1.061405429f, t, -1.453152027f);
  p = fmaf(p, t, 1.421413741f), p = fmaf(p, t, -0.284496736f), p = fmaf(p, t, 0.254829592f);
  const float tail = p * t * exp2f(-kLog2e * z * z);  // 1 - erf(z)
  return 0.5f * x * (x < 0.f ? tail : 2.f - tail);
}
__device__ __forceinline__ float activated(Activation f, float x) {
  switch (f) {
    case Activation::kRelu:
      return x < 0.f ? 0.f : x;
    case Activation::kGelu:
      return fast_gelu(x);
    case Activation::kGeluTanh:
      return __fdividef(x, 1.f + __expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
    case Activation::kSilu:
      return __fdividef(x, 1.f + __expf(-x));
    default:
      return x;
  }
}

// What does not fit float16 becomes the largest finite value; what is no number stays so.
template <typename T>
__device__ __forceinline__ uint32_t pack2_finite(float a, float b) {
  uint32_t two = pack2<T>(a, b);
#if __CUDA_ARCH__ >= 800
  if constexpr (__is_same(T, __half)) {
    asm("min.NaN.f16x2 %0, %0, %1;" : "+r"(two) : "r"(0x7bff7bffu));
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(two) : "r"(0xfbfffbffu));
  }
#endif
  return two;
}

// The first parts of a row of `count`, read at once; 8 lanes have it.
constexpr int kKept = 4;  // of a lane
__device__ __forceinline__ void read_parts(const RowPart* row, bool there, int count, uint2 (&kept)[kKept]) {
  const int q = threadIdx.x & 7;
#pragma unroll
  for (int i = 0; i < kKept; ++i) kept[i] = there && q + 8 * i < count ? load_fresh8(row + q + 8 * i) : uint2{};
}
// The row's mean and 1 / deviation.
__device__ __forceinline__ float2 norm_of(const uint2 (&kept)[kKept], const RowPart* row, bool there, int count, NormKind kind,
                                          float epsilon) {
  const int q = threadIdx.x & 7;
  float sum = 0.f, spread = 0.f;
  const auto each = [&](auto f) {
#pragma unroll
    for (int i = 0; i < kKept; ++i)
      if (q + 8 * i < count) f(__uint_as_float(kept[i].x), __uint_as_float(kept[i].y));
#pragma unroll 1
    for (int j = q + 8 * kKept; there && j < count; j += 8) {
      const uint2 u = load_fresh8(row + j);
      f(__uint_as_float(u.x), __uint_as_float(u.y));
    }
  };
  each([&](float m, float s) { sum += m, spread += s; });
#pragma unroll
  for (int x = 1; x < 8; x <<= 1) sum += __shfl_xor_sync(~0u, sum, x);
  const float mean = kind == NormKind::kLayer ? __fdividef(sum, static_cast<float>(count)) : 0.f;
  each([&](float m, float) { spread += kPart * (m - mean) * (m - mean); });
#pragma unroll
  for (int x = 1; x < 8; x <<= 1) spread += __shfl_xor_sync(~0u, spread, x);
  return make_float2(mean, rsqrtf(__fdividef(spread, static_cast<float>(count * kPart)) + epsilon));
}

// Where the sums of a row lie among its columns: neighbouring rows have the same eight columns in different banks.
template <int BN>
__device__ __forceinline__ int sum_place(int row, int column) {
  return column ^ (row & (BN % 64 ? 3 : 7)) << 3;
}

template <typename T, int BN>
__global__ void __launch_bounds__(CAMEO_WGMMA_THREADS(kThreads), 2) product_kernel(const __grid_constant__ Launch p) {
  constexpr int kQuads = BN / 4, kStep = kThreads / kQuads;  // quads of columns; rows that are finished at once
  extern __shared__ __align__(1024) unsigned char shared[];
  const RowsProductArgs& a = p.a;
  const Division& d = p.d;
  const int tid = threadIdx.x, lane = tid & 31, g = lane >> 2, t = lane & 3;
  const int warp = __shfl_sync(~0u, tid >> 5, 0);  // known to be the same in all lanes, as wgmma wants it
  const int parts = d.parts, share = d.share, own = d.own, rank = blockIdx.x % (parts * share), part = rank % parts, fellow = rank / parts;
  const int n0 = blockIdx.x / parts * BN, m0 = blockIdx.y * kRows;
  const int first = part * d.each, count = min(d.each, a.k / kTile - first);
  const int rows_here = min(kRows, a.m - m0), own_here = max(0, min(own, rows_here - part * own));
  float* const sums = reinterpret_cast<float*>(shared + d.sums);
  float2* const x_norms = reinterpret_cast<float2*>(shared + d.rows);
  float2* const residual_norms = x_norms + (a.parts ? own : 0);
  uint64_t* const full = reinterpret_cast<uint64_t*>(shared + d.barriers);  // a stage has W and x
  uint64_t* const arrived = full + d.each;
  const bool clustered = parts * share > 1;
  const bool fetches = tid == kThreads / 2;
  const uint32_t w_at = shared_address(shared), x_at = shared_address(shared + d.x);

  if (fetches) {
    expect_map(p.w), expect_map(p.x);
    for (int j = 0; j < count; ++j) begin_exchange(full + j, BN * 128 + d.height * share * 128);
    if (parts > 1) begin_exchange(arrived, static_cast<uint32_t>(parts * own_here * BN * 4));
    fence_for_wgmma();
    for (int j = 0; j < count; ++j) fetch(w_at + j * BN * 128, p.w, (first + j) * kTile, n0, shared_address(full + j));
  }
  __syncwarp();
  if (clustered) cluster_arrive_relaxed();

  // This thread's results: four columns of rows row0, row0 + kStep, ... of those that the block finishes.
  const int quad = tid % kQuads, row0 = tid / kQuads, n = n0 + quad * 4;
  const bool finishes = row0 < kStep && n < a.n;
  const auto read4 = [&](const void* from) {
    return from && finishes ? *reinterpret_cast<const uint2*>(static_cast<const T*>(from) + n) : uint2{};
  };
  float4 sums_low{}, sums_high{};
  if (a.parts && finishes) {
    const float4* from = reinterpret_cast<const float4*>(a.norm_sums + 2 * n);
    sums_low = from[0], sums_high = from[1];
  }
  uint2 vectors[] = {read4(a.parts ? nullptr : a.bias), read4(a.next_weight), read4(a.residual_weight), read4(a.residual_bias)};
  if (clustered)
    cluster_wait();
  else
    __syncthreads();
  wait_for_predecessor();
  launch_dependents();  // not sooner: blocks that wait for two kernels slow both down

  if (fetches)
    for (int j = 0; j < count; ++j) {
      const int k = (first + j) * kTile;
      if (share == 1) {
        fetch(x_at + j * kTileBytes, p.x, k, m0, shared_address(full + j));
      } else {
        uint32_t blocks = 0;
        for (int i = 0; i < share; ++i) blocks |= 1u << (i * parts + part);
        fetch_for(static_cast<uint16_t>(blocks), x_at + j * kTileBytes + fellow * d.height * 128, p.x, k, m0 + fellow * d.height,
                  shared_address(full + j));
      }
    }
  __syncwarp();
  const auto residual_at = [&](int r) {
    return a.residual && finishes && r < own_here
               ? load_fresh8(static_cast<const T*>(a.residual) + static_cast<int64_t>(m0 + part * own + r) * a.n + n)
               : uint2{};
  };
  uint2 residuals[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) residuals[i] = residual_at(row0 + i * kStep);

  if (warp < 4) {
    float acc[BN / 8][4] = {};
    hold(acc);
#pragma unroll 1
    for (int j = 0; j < count; ++j) {
      mbarrier_wait_cluster(full + j, 0);
      const uint64_t x_tile = wgmma_tile(x_at + j * kTileBytes), w_tile = wgmma_tile(w_at + j * BN * 128);
      wgmma_begin();
#pragma unroll
      for (int kk = 0; kk < kTile / 16; ++kk) {
        if constexpr (BN == 64)
          wgmma64<T>(acc, x_tile + 2 * kk, w_tile + 2 * kk, true);
        else if constexpr (BN == 96)
          wgmma96<T>(acc, x_tile + 2 * kk, w_tile + 2 * kk, true);
        else
          wgmma128<T>(acc, x_tile + 2 * kk, w_tile + 2 * kk, true);
      }
      wgmma_commit();
    }
    wgmma_wait<0>();
    hold(acc);
    // Of many rows sixteen bytes at once, which is less to send: neighbouring lanes exchange halves of two groups of 8 columns, so that
    // each has four neighbouring columns of one. Of few rows that takes longer than it saves.
    const bool odd = t & 1, fours = rows_here > kRows / 2;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int m = warp * 16 + h * 8 + g, to = m * d.own_inverse >> 16, r = m - to * own;
      const bool there = m < rows_here;
      float* const at = sums + (part * own + r) * BN;
      const int rank_there = fellow * parts + (there ? to : 0);
      const uint32_t row_there = remote_address(at, rank_there), barrier_there = remote_address(arrived, rank_there);
      if (parts > 1 && fours) {
#pragma unroll
        for (int c = 0; c < BN / 8; c += 2) {
          const float given[2] = {odd ? acc[c][2 * h] : acc[c + 1][2 * h], odd ? acc[c][2 * h + 1] : acc[c + 1][2 * h + 1]};
          const float kept[2] = {odd ? acc[c + 1][2 * h] : acc[c][2 * h], odd ? acc[c + 1][2 * h + 1] : acc[c][2 * h + 1]};
          const float got[2] = {__shfl_xor_sync(~0u, given[0], 1), __shfl_xor_sync(~0u, given[1], 1)};
          if (!there) continue;
          send4_to(row_there + sum_place<BN>(r, (c + odd) * 8 + (t >> 1) * 4) * 4, barrier_there, odd ? got[0] : kept[0],
                   odd ? got[1] : kept[1], odd ? kept[0] : got[0], odd ? kept[1] : got[1]);
        }
        continue;
      }
      if (!there) continue;
#pragma unroll
      for (int c = 0; c < BN / 8; ++c) {
        const int place = sum_place<BN>(r, c * 8) + 2 * t;
        if (parts > 1)
          send2_to(row_there + place * 4, barrier_there, acc[c][2 * h], acc[c][2 * h + 1]);
        else
          *reinterpret_cast<float2*>(at + place) = make_float2(acc[c][2 * h], acc[c][2 * h + 1]);
      }
    }
  } else {
    // Means and deviations of the rows that this block finishes; 8 lanes have a row.
    const auto norms = [&](const RowPart* from, float2* to, int columns, NormKind kind) {
      if (!from) return;
      constexpr int kRound = kThreads / 16;  // rows
      const int count = columns / kPart, r0 = (tid - kThreads / 2) / 8;
      const RowPart* const parts_of = from + static_cast<int64_t>(m0 + part * own) * count;
      uint2 now[kKept], next[kKept];
      read_parts(parts_of + r0 * count, r0 < own_here, count, now);
#pragma unroll 1
      for (int base = 0; base < own_here; base += kRound) {
        const int r = base + r0;
        read_parts(parts_of + (r + kRound) * count, r + kRound < own_here, count, next);
        const float2 norm = norm_of(now, parts_of + r * count, r < own_here, count, kind, a.epsilon);
        if ((tid & 7) == 0 && r < own_here) to[r] = norm;
#pragma unroll
        for (int i = 0; i < kKept; ++i) now[i] = next[i];
      }
    };
    norms(a.parts, x_norms, a.k, a.norm);
    norms(a.residual_parts, residual_norms, a.n, a.norm);
  }
  __syncthreads();
  if (parts > 1) mbarrier_wait_cluster(arrived, 0);
  if (!finishes) return;

  // What a column needs, widened only now.
#pragma unroll
  for (uint2& v : vectors) asm volatile("" : "+r"(v.x), "+r"(v.y));
  const auto wide = [&](uint2 u, float(&v)[4]) {
    const float2 low = unpack2<T>(u.x), high = unpack2<T>(u.y);
    v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
  };
  const float lost[] = {sums_low.x, sums_low.z, sums_high.x, sums_high.z};  // what the norm's mean takes
  float gained[] = {sums_low.y, sums_low.w, sums_high.y, sums_high.w}, next[4], residual_weight[4], residual_bias[4];
  if (!a.parts) wide(vectors[0], gained);
  wide(vectors[1], next), wide(vectors[2], residual_weight), wide(vectors[3], residual_bias);

  int round = 0;
#pragma unroll 1
  for (int r = row0; r < own_here; r += kStep, ++round) {
    const int64_t to = static_cast<int64_t>(m0 + part * own + r) * a.n + n;
    const float* const from = sums + r * BN + sum_place<BN>(r, quad * 4);
    float4 u[kMostParts];
#pragma unroll
    for (int i = 0; i < kMostParts; ++i) u[i] = i < parts ? *reinterpret_cast<const float4*>(from + i * own * BN) : float4{};
#pragma unroll
    for (int i = 1; i < kMostParts; ++i) u[0].x += u[i].x, u[0].y += u[i].y, u[0].z += u[i].z, u[0].w += u[i].w;
    float v[4] = {u[0].x, u[0].y, u[0].z, u[0].w};
    const float2 norm = a.parts ? x_norms[r] : make_float2(0.f, 1.f / kScaledBy);
#pragma unroll
    for (int e = 0; e < 4; ++e) v[e] = activated(a.activation, norm.y * (kScaledBy * v[e] - norm.x * lost[e]) + gained[e]);
    if (a.residual) {
      uint2 packed = residuals[0];
#pragma unroll
      for (int i = 1; i < kAhead; ++i)
        if (round == i) packed = residuals[i];
      if (round >= kAhead) packed = residual_at(r);
      const float2 low = unpack2<T>(packed.x), high = unpack2<T>(packed.y);
      const float added[4] = {low.x, low.y, high.x, high.y};
      if (a.residual_parts) {
        const float2 of = residual_norms[r];
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] += of.y * (kScaledBy * added[e] - of.x * residual_weight[e]) + residual_bias[e];
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] += added[e];
      }
    }
    if (a.y) {
      const uint2 packed{pack2_finite<T>(v[0], v[1]), pack2_finite<T>(v[2], v[3])};
      *reinterpret_cast<uint2*>(static_cast<T*>(a.y) + to) = packed;
    }
    if (!a.parts_out) continue;
    constexpr float by = 1.f / kScaledBy;
    *reinterpret_cast<uint2*>(static_cast<T*>(a.scaled_out) + to) = {pack2_finite<T>(v[0] * next[0] * by, v[1] * next[1] * by),
                                                                     pack2_finite<T>(v[2] * next[2] * by, v[3] * next[3] * by)};
    const unsigned lanes = 0xffu << (lane & 24);  // 8 lanes have a part
    float sum = (v[0] + v[1]) + (v[2] + v[3]);
#pragma unroll
    for (int x = 1; x < 8; x <<= 1) sum += __shfl_xor_sync(lanes, sum, x);
    const float mean = sum / kPart;
    float spread = 0.f;
#pragma unroll
    for (int e = 0; e < 4; ++e) spread += (v[e] - mean) * (v[e] - mean);
#pragma unroll
    for (int x = 1; x < 8; x <<= 1) spread += __shfl_xor_sync(lanes, spread, x);
    if ((quad & 7) == 0) a.parts_out[to / kPart] = {mean, spread};
  }
}

// Rows of 16-bit numbers in boxes of 64 by `box`; false where the driver has no such maps.
bool describe(CUtensorMap& map, const void* from, int rows, int columns, int box) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const bool good = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result) == cudaSuccess;
    return good && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
  }();
  if (!encode) return false;
  const cuuint64_t dims[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)}, strides[] = {dims[0] * 2};
  const cuuint32_t boxes[] = {kTile, static_cast<cuuint32_t>(box)}, steps[] = {1, 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<void*>(from), dims, strides, boxes, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <typename T>
cudaError_t run(const RowsProductArgs& a, const RowsTiling& tiling, cudaStream_t stream) {
  Launch p{.a = a, .d = Division(a, tiling), .x = {}, .w = {}};
  if (!describe(p.x, a.x, a.m, a.k, p.d.height) || !describe(p.w, a.w, a.n, a.k, tiling.columns)) return cudaErrorNotSupported;
  const int columns = (a.n + tiling.columns - 1) / tiling.columns;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(columns * tiling.parts), static_cast<unsigned>((a.m + kRows - 1) / kRows)),
                          .block = dim3(kThreads),
                          .shared = static_cast<size_t>(p.d.total),
                          .cluster = static_cast<unsigned>(tiling.parts * tiling.share),
                          .dependent = true};
  switch (tiling.columns) {
    case 64:
      return launch(product_kernel<T, 64>, shape, stream, p);
    case 96:
      return launch(product_kernel<T, 96>, shape, stream, p);
    default:
      return launch(product_kernel<T, 128>, shape, stream, p);
  }
}

}  // namespace

const char* rows_product_refusal(const RowsProductArgs& a, const RowsTiling& t, const DeviceTraits& device) {
  static const bool there = has_wgmma(product_kernel<__half, 64>);
  if (device.capability != 90 || !there) return "the device has no wgmma";
  if (a.type == Scalar::kFloat32) return "only 16 bits are covered";
  if (a.m < 1 || a.m > 4096) return "not 1 to 4096 rows";
  if (a.n < 1 || a.n % kPart || a.k < kTile || a.k % kTile || a.n > 1 << 20 || a.k > 1 << 20)
    return "n is not a multiple of 32, or k not of 64";
  if (a.activation == Activation::kSwiGlu) return "gates are not covered";
  if (a.parts && !a.norm_sums) return "sums of the norm are missing";
  if (a.residual_parts && (!a.residual || !a.residual_weight)) return "a norm without its operands";
  if (!a.parts_out != !a.scaled_out || !a.parts_out != !a.next_weight) return "what the next norm needs is given in part";
  if (!a.y && !a.scaled_out) return "there is no result";
  for (const void* p : {a.x, a.w, a.bias, a.residual, static_cast<const void*>(a.y), static_cast<const void*>(a.norm_sums), a.next_weight,
                        a.residual_weight, a.residual_bias, static_cast<const void*>(a.scaled_out)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  if (t.columns != 64 && t.columns != 96 && t.columns != 128) return "no such tile";
  if (t.parts < 1 || t.parts > kMostParts || (t.share != 1 && t.share != 2 && t.share != 4) || t.parts * t.share > 8)
    return "no such cluster";
  if ((a.n + t.columns - 1) / t.columns % t.share) return "tiles of columns cannot be shared";
  const Division d(a, t);
  if ((t.parts - 1) * d.each >= a.k / kTile) return "a part of k is empty";
  return d.total > device.shared_memory ? "k is too large" : nullptr;
}

std::vector<RowsTiling> rows_tilings(const RowsProductArgs& a, const DeviceTraits& device) {
  std::vector<std::pair<int, RowsTiling>> found;
  for (const int16_t columns : {64, 96, 128})
    for (const int16_t parts : {1, 2, 3, 4, 6, 8})
      for (const int16_t share : {1, 2, 4}) {
        const RowsTiling t{columns, parts, share};
        if (rows_product_refusal(a, t, device)) continue;
        // About as many blocks as multiprocessors, each with its own x.
        const int blocks = (a.n + columns - 1) / columns * parts * ((a.m + kRows - 1) / kRows);
        const int away = blocks > device.multiprocessors ? blocks - device.multiprocessors : device.multiprocessors - blocks;
        found.emplace_back((share > 1 ? 4096 : 0) + away * 8 + parts + share, t);
      }
  std::stable_sort(found.begin(), found.end(), [](const auto& l, const auto& r) { return l.first < r.first; });
  std::vector<RowsTiling> tilings;
  for (const auto& [unused, t] : found) tilings.push_back(t);
  return tilings;
}

cudaError_t rows_product(const RowsProductArgs& a, const RowsTiling& tiling, const DeviceTraits& device, cudaStream_t stream) {
  return a.type == Scalar::kFloat16 ? run<__half>(a, tiling, stream) : run<__nv_bfloat16>(a, tiling, stream);
}

}  // namespace cameo::cuda
