// The kernel of stem.h. A block makes some rows of the pool's results, 64 channels of them, one below the other; all blocks have as many
// and live at the same time. Its part of the image lies in shared memory as pixels of four numbers, so that a window's row of eight
// pixels is 64 bytes that begin 16 bytes after those of the window before: what ldmatrix and wgmma read needs no copy of its own. Two rows
// of the convolution are made at a time, while the next four of the image are on their way; the one above them is kept.
#include "backends/cuda/kernels/stem.h"

#include <algorithm>

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/wgmma.cuh"

namespace cameo::cuda {
namespace {

constexpr int kTaps = 7, kColumns = 64, kChannels = 64, kThreads = 128;
constexpr int kBlocks = 3;  // of a multiprocessor
// W lies in rows for ldmatrix; for wgmma, pieces of 16 bytes of 8 rows one after another, and so on down the columns, then along K.
constexpr int kK = kTaps * 32, kWeightPitch = kK + 8, kPixels = 2 * kColumns + 8, kSumsPitch = kChannels + 8;

constexpr int kRing = 16;                                     // rows of the image
constexpr int kNext = 4 * (4 * kStemColumns + 8) / kThreads;  // pixels of the next four rows, of a thread
// With 1024 bytes that nothing reads: a tile of overlapping pieces spans 1040 bytes, but compute-sanitizer takes it for 2048.
constexpr int kShared = 2 * (kChannels * kWeightPitch + 2 * kColumns * kSumsPitch) + 8 * kRing * kPixels + 1024;

struct StemParams {
  StemArgs a;
  int columns;   // of the pool, of a strip: part of an image's width
  int strips;    // of an image
  int64_t rows;  // of the pool, of a block, which may be of several strips
};

// The image's row `row` in the ring.
__device__ __forceinline__ int ring_row(int row) { return (row & (kRing - 1)) * kPixels; }

template <typename T>
__device__ __forceinline__ uint32_t larger2(uint32_t a, uint32_t b) {
  uint32_t r = 0;
#if __CUDA_ARCH__ >= 800
  if constexpr (__is_same(T, __half))
    asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  else
    asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
#endif
  return r;
}
template <typename T>
__device__ __forceinline__ uint32_t lowest2() {
  return __is_same(T, __half) ? 0xfc00fc00u : 0xff80ff80u;
}

// Sums of 16 columns and 64 channels in ROWS rows of the convolution, from the image's row `first` on; `image` is the address of the
// ring's first pixel for this lane, `weights` that of its piece of W.
template <typename T, int ROWS>
__device__ __forceinline__ void convolve_rows(uint32_t image, int first, uint32_t weights, float (&acc)[ROWS][8][4]) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) acc[r][j][e] = 0.f;
#pragma unroll 2
  for (int step = 0; step < kK / 16; ++step) {
    uint32_t af[ROWS][4];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) ldmatrix4_at(af[r], image + (ring_row(first + 2 * r + (step >> 1)) + (step & 1) * 4) * 8);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      uint32_t bf[4];
      ldmatrix4_at(bf, weights + (j * 16 * kWeightPitch + step * 16) * 2);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        mma16816<T>(acc[r][2 * j], af[r], bf[0], bf[1]);
        mma16816<T>(acc[r][2 * j + 1], af[r], bf[2], bf[3]);
      }
    }
  }
}

// A matrix of shared memory that is not swizzled: bytes from 8 of its rows to the next 8, and from 16 bytes of a row to the next 16.
__device__ __forceinline__ uint64_t plain_tile(uint32_t shared, uint32_t rows_step, uint32_t piece_step) {
  return ((shared & 0x3ffff) >> 4) | static_cast<uint64_t>(piece_step >> 4) << 16 | static_cast<uint64_t>(rows_step >> 4) << 32;
}

// The same by wgmma, for all 64 columns; `image` and `weights` are the addresses of the ring and of W. Pieces of neighbouring windows
// overlap.
template <typename T, int ROWS>
__device__ __forceinline__ void convolve_rows_together(uint32_t image, int first, uint32_t weights, float (&acc)[ROWS][8][4]) {
  wgmma_begin();
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
#pragma unroll
    for (int step = 0; step < kK / 16; ++step)
      wgmma64<T>(acc[r], plain_tile(image + (ring_row(first + 2 * r + (step >> 1)) + (step & 1) * 4) * 8, 128, 16),
                 plain_tile(weights + step * 2 * kChannels * 16, 128, kChannels * 16), step > 0);
  wgmma_commit();
  wgmma_wait<0>();
}

template <typename T, typename X, bool WGMMA>
__global__ void __launch_bounds__(WGMMA ? CAMEO_WGMMA_THREADS(kThreads) : kThreads, kBlocks)
    stem_kernel(const __grid_constant__ StemParams p) {
  extern __shared__ __align__(128) unsigned char memory[];
  const StemArgs& a = p.a;
  T* weights = reinterpret_cast<T*>(memory);
  T* both_sums = weights + kChannels * kWeightPitch;  // of two rows of the pool by turns
  uint2* image = reinterpret_cast<uint2*>(both_sums + 2 * kColumns * kSumsPitch);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, n0 = blockIdx.y * kChannels;

  launch_dependents();
  for (int i = tid; i < kChannels * (kK / 8); i += kThreads) {
    const int n = i / (kK / 8), k = i % (kK / 8) * 8;
    copy_async16(weights + (WGMMA ? k * kChannels + n * 8 : n * kWeightPitch + k),
                 static_cast<const T*>(a.w) + static_cast<int64_t>(n0 + n) * kK + k, true);
  }
  wait_for_predecessor();
  float2 bias[8];
#pragma unroll
  for (int j = 0; j < 8; ++j)
    bias[j] = a.bias ? unpack2<T>(*reinterpret_cast<const uint32_t*>(static_cast<const T*>(a.bias) + n0 + j * 8 + 2 * (lane & 3)))
                     : make_float2(0.f, 0.f);
  const uint32_t image_at = shared_address(image) + (WGMMA ? 0 : (warp * 16 + (lane & 15)) * 16 + (lane >> 4) * 16);
  const uint32_t weights_at =
      shared_address(weights) + (WGMMA ? 0 : (((lane >> 4) * 8 + (lane & 7)) * kWeightPitch + ((lane >> 3) & 1) * 8) * 2);
  const int64_t plane = static_cast<int64_t>(a.height) * a.width, channel_step = a.channels_first ? plane : 1;
  const int pixel_step = a.channels_first ? 1 : a.channels, most = 4 * p.columns + 8;  // pixels of a row that are read
  // Where this thread's pixels of four rows are: row and column.
  int pixel_rows[kNext], pixel_columns[kNext];
#pragma unroll
  for (int u = 0; u < kNext; ++u) pixel_rows[u] = (tid + u * kThreads) / most, pixel_columns[u] = tid + u * kThreads - pixel_rows[u] * most;
  const int64_t end = min((blockIdx.x + 1) * p.rows, static_cast<int64_t>(a.batch) * p.strips * a.out_height);
  for (int64_t at = blockIdx.x * p.rows; at < end;) {
    const int strip = static_cast<int>(at / a.out_height), i0 = static_cast<int>(at - static_cast<int64_t>(strip) * a.out_height);
    const int batch = strip / p.strips, j0 = (strip - batch * p.strips) * p.columns;
    const int rows = static_cast<int>(min(static_cast<int64_t>(a.out_height - i0), end - at)), columns = min(p.columns, a.out_width - j0);
    at += rows;
    // The first row and column of the convolution here, which may lie outside.
    const int top = 2 * i0 - a.pool_pad_top, left = 2 * j0 - a.pool_pad_left;
    const X* x = static_cast<const X*>(a.x) + batch * plane * a.channels;
    const int first_row = 2 * top - a.pad_top, first_column = 2 * left - a.pad_left;
    const auto fetch = [&](float(&v)[4], int row, int column, bool wanted) {
      const int y = first_row + row, z = first_column + column;
      const bool there =
          wanted && static_cast<unsigned>(y) < static_cast<unsigned>(a.height) && static_cast<unsigned>(z) < static_cast<unsigned>(a.width);
      const X* from = x + (static_cast<int64_t>(y) * a.width + z) * pixel_step;
#pragma unroll
      for (int e = 0; e < 4; ++e) v[e] = there && e < a.channels ? to_float(__ldcg(from + e * channel_step)) : 0.f;
    };
    const auto put = [&](const float(&v)[4], int row, int column) {
      image[ring_row(row) + column] = make_uint2(pack2<T>(v[0], v[1]), pack2<T>(v[2], v[3]));
    };
    constexpr int kFirst = 4 + kTaps;  // rows that the first row of the pool needs
    constexpr int kTogether = 6;       // pixels on their way
    for (int first = tid; first < kFirst * most; first += kTogether * kThreads) {
      float v[kTogether][4];
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
        const int i = first + u * kThreads, r = i / most;
        fetch(v[u], r, i - r * most, i < kFirst * most);
      }
#pragma unroll
      for (int u = 0; u < kTogether; ++u)
        if (const int i = first + u * kThreads, r = i / most; i < kFirst * most) put(v[u], r, i - r * most);
    }
    copy_async_wait_all();
    if constexpr (WGMMA) fence_for_wgmma();
    __syncthreads();

    const int column = left + warp * 16 + (lane >> 2);  // of the thread's first sums; the others are 8 further
    const bool inside[2] = {static_cast<unsigned>(column) < static_cast<unsigned>(a.conv_width),
                            static_cast<unsigned>(column + 8) < static_cast<unsigned>(a.conv_width)};
    const auto row_inside = [&](int r) { return static_cast<unsigned>(top + r) < static_cast<unsigned>(a.conv_height); };
    // The larger of what is there and a row's results.
    const auto take = [&](uint32_t(&largest)[8][2], const float(&acc)[8][4], bool there, bool fresh) {
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const uint32_t v = there && inside[h] ? pack2<T>(acc[j][2 * h] + bias[j].x, acc[j][2 * h + 1] + bias[j].y) : lowest2<T>();
          largest[j][h] = fresh ? v : larger2<T>(largest[j][h], v);
        }
    };
    uint32_t kept[8][2];
    {
      float acc[1][8][4];
      if constexpr (WGMMA)
        convolve_rows_together<T, 1>(image_at, 0, weights_at, acc);
      else
        convolve_rows<T, 1>(image_at, 0, weights_at, acc);
      take(kept, acc[0], row_inside(0), true);
    }
    for (int i = 0; i < rows; ++i) {
      const int next_row = 4 * i + kFirst;
      float ahead[kNext][4];
#pragma unroll
      for (int u = 0; u < kNext; ++u) fetch(ahead[u], next_row + pixel_rows[u], pixel_columns[u], i + 1 < rows && pixel_rows[u] < 4);
      float acc[2][8][4];
      if constexpr (WGMMA)
        convolve_rows_together<T, 2>(image_at, 4 * i + 2, weights_at, acc);
      else
        convolve_rows<T, 2>(image_at, 4 * i + 2, weights_at, acc);
      take(kept, acc[0], row_inside(2 * i + 1), false);
      uint32_t next[8][2];
      take(next, acc[1], row_inside(2 * i + 2), true);
      T* sums = both_sums + i % 2 * kColumns * kSumsPitch;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          *reinterpret_cast<uint32_t*>(sums + (warp * 16 + (lane >> 2) + 8 * h) * kSumsPitch + j * 8 + 2 * (lane & 3)) =
              larger2<T>(kept[j][h], next[j][h]);
          kept[j][h] = next[j][h];
        }
        // These rows of the ring were read a row of the pool ago.
#pragma unroll
      for (int u = 0; u < kNext; ++u)
        if (i + 1 < rows && pixel_rows[u] < 4) put(ahead[u], next_row + pixel_rows[u], pixel_columns[u]);
      if constexpr (WGMMA) fence_for_wgmma();
      __syncthreads();
      for (int k = tid; k < columns * (kChannels / 8); k += kThreads) {
        const int c = k / (kChannels / 8), piece = k % (kChannels / 8) * 8;
        uint32_t v[4] = {0, 0, 0, 0};  // Relu
#pragma unroll
        for (int t = 0; t < 3; ++t) {
          const uint4 other = *reinterpret_cast<const uint4*>(sums + (2 * c + t) * kSumsPitch + piece);
          v[0] = larger2<T>(v[0], other.x), v[1] = larger2<T>(v[1], other.y);
          v[2] = larger2<T>(v[2], other.z), v[3] = larger2<T>(v[3], other.w);
        }
        T* to =
            static_cast<T*>(a.y) + ((static_cast<int64_t>(batch) * a.out_height + i0 + i) * a.out_width + j0 + c) * a.outputs + n0 + piece;
        *reinterpret_cast<uint4*>(to) = make_uint4(v[0], v[1], v[2], v[3]);
      }
    }
    __syncthreads();  // the ring and the sums are free
  }
}

template <typename T, bool WGMMA>
cudaError_t launch_stem(const StemParams& p, const LaunchShape& shape, cudaStream_t stream) {
  return p.a.image_type == Scalar::kFloat32 ? launch(stem_kernel<T, float, WGMMA>, shape, stream, p)
                                            : launch(stem_kernel<T, T, WGMMA>, shape, stream, p);
}
template <typename T>
cudaError_t launch_stem(const StemParams& p, const LaunchShape& shape, const DeviceTraits& device, cudaStream_t stream) {
  static const bool there = has_wgmma(stem_kernel<T, float, true>);
  // It was measured to be faster where blocks have many rows.
  constexpr int kFewRows = 6;
  const bool by_wgmma = there && device.capability == 90 && !p.a.without_wgmma && p.rows > kFewRows;
  return by_wgmma ? launch_stem<T, true>(p, shape, stream) : launch_stem<T, false>(p, shape, stream);
}

}  // namespace

const char* stem_refusal(const StemArgs& a, const DeviceTraits& device) {
  if (a.type == Scalar::kFloat32) return "elements have 32 bits";
  if (a.image_type != Scalar::kFloat32 && a.image_type != a.type) return "the image has another type";
  if (device.capability < 80) return "the device has no tensor cores for it";
  if (a.dependent && device.capability < 90) return "the device has no dependent launch";
  if (static_cast<size_t>(device.shared_memory) < kShared) return "there is too little shared memory";
  if (a.batch < 1 || a.height < 1 || a.width < 1 || a.out_height < 1 || a.out_width < 1) return "an extent is less than 1";
  if (a.channels < 1 || a.channels > 4) return "there are more than four channels";
  if (a.outputs < 64 || a.outputs % 64) return "the outputs are no multiple of 64";
  if (a.pad_top < 0 || a.pad_left < 0 || a.pad_top >= kTaps || a.pad_left >= kTaps) return "the image's margins are not those of a window";
  if (a.pool_pad_top < 0 || a.pool_pad_left < 0 || a.pool_pad_top > 1 || a.pool_pad_left > 1)
    return "the pool's margins are not those of a window";
  if (a.height > 1 << 20 || a.width > 1 << 20 || a.batch > 65535 || a.outputs / 64 > 65535) return "it is too large";
  for (const void* p : {a.w, a.bias, static_cast<const void*>(a.y)})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

cudaError_t stem(const StemArgs& a, const DeviceTraits& device, cudaStream_t stream) {
  const StemStrips s = stem_strips(a, kBlocks * device.multiprocessors);
  const StemParams p{a, s.columns, s.strips, s.rows};
  const LaunchShape shape{.grid = dim3(s.blocks, static_cast<unsigned>(a.outputs / kChannels)),
                          .block = dim3(kThreads),
                          .shared = kShared,
                          .dependent = a.dependent};
  return a.type == Scalar::kFloat16 ? launch_stem<__half>(p, shape, device, stream) : launch_stem<__nv_bfloat16>(p, shape, device, stream);
}

StemStrips stem_strips(const StemArgs& a, int most_blocks) {
  const int most = kStemColumns, groups = std::max(1, most_blocks / (a.outputs / 64));
  StemStrips s;
  s.strips = (a.out_width + most - 1) / most;
  s.columns = (a.out_width + s.strips - 1) / s.strips;
  const int64_t rows = int64_t{a.batch} * s.strips * a.out_height;
  s.rows = (rows + groups - 1) / groups;
  s.blocks = static_cast<unsigned>((rows + s.rows - 1) / s.rows);
  return s;
}

}  // namespace cameo::cuda
