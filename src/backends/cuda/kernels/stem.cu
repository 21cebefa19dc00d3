// The kernel of stem.h. A block makes some rows of the pool's results, 64 channels of them. Its part of the image lies in shared memory
// as pixels of four numbers, so that a window's row of eight pixels is 64 bytes that begin 16 bytes after those of the window before:
// what ldmatrix and wgmma read needs no copy of its own. Two rows of the convolution are made at a time; the one above them is kept.
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

struct StemParams {
  StemArgs a;
  int rows, columns;  // of the pool, of a block
};

int image_rows(int rows) { return 4 * rows + kTaps; }
// With 1024 bytes that nothing reads: a tile of overlapping pieces spans 1040 bytes, but compute-sanitizer takes it for 2048.
size_t shared_bytes(int rows) {
  return static_cast<size_t>(2) * (kChannels * kWeightPitch + kColumns * kSumsPitch) + static_cast<size_t>(8) * image_rows(rows) * kPixels +
         1024;
}

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

// Sums of 16 columns and 64 channels in ROWS rows of the convolution; `image` is the address of the first row's first pixel for this
// lane, `weights` that of its piece of W.
template <typename T, int ROWS>
__device__ __forceinline__ void convolve_rows(uint32_t image, uint32_t weights, float (&acc)[ROWS][8][4]) {
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
    for (int r = 0; r < ROWS; ++r) ldmatrix4_at(af[r], image + ((2 * r + (step >> 1)) * kPixels + (step & 1) * 4) * 8);
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

// The same by wgmma, for all 64 columns; `image` and `weights` are the addresses of the first pixel and of W. Pieces of neighbouring
// windows overlap.
template <typename T, int ROWS>
__device__ __forceinline__ void convolve_rows_together(uint32_t image, uint32_t weights, float (&acc)[ROWS][8][4]) {
  wgmma_begin();
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
#pragma unroll
    for (int step = 0; step < kK / 16; ++step)
      wgmma64<T>(acc[r], plain_tile(image + ((2 * r + (step >> 1)) * kPixels + (step & 1) * 4) * 8, 128, 16),
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
  T* sums = weights + kChannels * kWeightPitch;
  uint2* image = reinterpret_cast<uint2*>(sums + kColumns * kSumsPitch);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
  const int batch = blockIdx.z, n0 = blockIdx.y * kChannels;
  const int tiles = (a.out_width + p.columns - 1) / p.columns, strip = blockIdx.x / tiles;
  const int j0 = (blockIdx.x - strip * tiles) * p.columns, i0 = strip * p.rows;
  const int rows = min(p.rows, a.out_height - i0), columns = min(p.columns, a.out_width - j0);
  // The first row and column of the convolution here, which may lie outside.
  const int top = 2 * i0 - a.pool_pad_top, left = 2 * j0 - a.pool_pad_left;

  launch_dependents();
  for (int i = tid; i < kChannels * (kK / 8); i += kThreads) {
    const int n = i / (kK / 8), k = i % (kK / 8) * 8;
    copy_async16(weights + (WGMMA ? k * kChannels + n * 8 : n * kWeightPitch + k),
                 static_cast<const T*>(a.w) + static_cast<int64_t>(n0 + n) * kK + k, true);
  }
  wait_for_predecessor();
  const int64_t plane = static_cast<int64_t>(a.height) * a.width;
  const X* x = static_cast<const X*>(a.x) + batch * plane * a.channels;
  const int64_t channel_step = a.channels_first ? plane : 1;
  const int pixel_step = a.channels_first ? 1 : a.channels;
  const int first_row = 2 * top - a.pad_top, first_column = 2 * left - a.pad_left;
  const int pixels = (4 * rows + kTaps) * kPixels;
  constexpr int kTogether = 6;  // pixels on their way
  for (int first = tid; first < pixels; first += kTogether * kThreads) {
    float v[kTogether][4];
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
      const int i = first + u * kThreads, r = i / kPixels, c = i - r * kPixels, y = first_row + r, z = first_column + c;
      const bool there = i < pixels && static_cast<unsigned>(y) < static_cast<unsigned>(a.height) &&
                         static_cast<unsigned>(z) < static_cast<unsigned>(a.width);
      const X* from = x + (static_cast<int64_t>(y) * a.width + z) * pixel_step;
#pragma unroll
      for (int e = 0; e < 4; ++e) v[u][e] = there && e < a.channels ? to_float(__ldcg(from + e * channel_step)) : 0.f;
    }
#pragma unroll
    for (int u = 0; u < kTogether; ++u)
      if (const int i = first + u * kThreads; i < pixels) image[i] = make_uint2(pack2<T>(v[u][0], v[u][1]), pack2<T>(v[u][2], v[u][3]));
  }
  float2 bias[8];
#pragma unroll
  for (int j = 0; j < 8; ++j)
    bias[j] = a.bias ? unpack2<T>(*reinterpret_cast<const uint32_t*>(static_cast<const T*>(a.bias) + n0 + j * 8 + 2 * (lane & 3)))
                     : make_float2(0.f, 0.f);
  copy_async_wait_all();
  if constexpr (WGMMA) fence_for_wgmma();
  __syncthreads();

  const uint32_t image_at = shared_address(image) + (WGMMA ? 0 : (warp * 16 + (lane & 15)) * 16 + (lane >> 4) * 16);
  const uint32_t weights_at =
      shared_address(weights) + (WGMMA ? 0 : (((lane >> 4) * 8 + (lane & 7)) * kWeightPitch + ((lane >> 3) & 1) * 8) * 2);
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
      convolve_rows_together<T, 1>(image_at, weights_at, acc);
    else
      convolve_rows<T, 1>(image_at, weights_at, acc);
    take(kept, acc[0], row_inside(0), true);
  }
  for (int i = 0; i < rows; ++i) {
    float acc[2][8][4];
    const uint32_t from = image_at + 2 * (2 * i + 1) * kPixels * 8;
    if constexpr (WGMMA)
      convolve_rows_together<T, 2>(from, weights_at, acc);
    else
      convolve_rows<T, 2>(from, weights_at, acc);
    take(kept, acc[0], row_inside(2 * i + 1), false);
    uint32_t next[8][2];
    take(next, acc[1], row_inside(2 * i + 2), true);
    if (i > 0) __syncthreads();
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        *reinterpret_cast<uint32_t*>(sums + (warp * 16 + (lane >> 2) + 8 * h) * kSumsPitch + j * 8 + 2 * (lane & 3)) =
            larger2<T>(kept[j][h], next[j][h]);
        kept[j][h] = next[j][h];
      }
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
}

template <typename T, bool WGMMA>
cudaError_t launch_stem(const StemParams& p, const LaunchShape& shape, cudaStream_t stream) {
  return p.a.image_type == Scalar::kFloat32 ? launch(stem_kernel<T, float, WGMMA>, shape, stream, p)
                                            : launch(stem_kernel<T, T, WGMMA>, shape, stream, p);
}
template <typename T>
cudaError_t launch_stem(const StemParams& p, const LaunchShape& shape, const DeviceTraits& device, cudaStream_t stream) {
  static const bool there = has_wgmma(stem_kernel<T, float, true>);
  // By wgmma the first blocks are done sooner; where many follow one another, the other way was measured to be faster.
  const int64_t blocks = int64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  const bool by_wgmma = there && device.capability == 90 && !p.a.without_wgmma && blocks <= kBlocks * device.multiprocessors;
  return by_wgmma ? launch_stem<T, true>(p, shape, stream) : launch_stem<T, false>(p, shape, stream);
}

}  // namespace

const char* stem_refusal(const StemArgs& a, const DeviceTraits& device) {
  if (a.type == Scalar::kFloat32) return "elements have 32 bits";
  if (a.image_type != Scalar::kFloat32 && a.image_type != a.type) return "the image has another type";
  if (device.capability < 80) return "the device has no tensor cores for it";
  if (a.dependent && device.capability < 90) return "the device has no dependent launch";
  if (static_cast<size_t>(device.shared_memory) < shared_bytes(4)) return "there is too little shared memory";
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
  constexpr int kMostColumns = (kColumns - 1) / 2;
  StemParams p{a, 1, 0};
  const int tiles = (a.out_width + kMostColumns - 1) / kMostColumns;
  p.columns = (a.out_width + tiles - 1) / tiles;
  const auto blocks = [&](int rows) { return static_cast<int64_t>((a.out_height + rows - 1) / rows) * tiles * (a.outputs / 64) * a.batch; };
  while (p.rows < 4 && blocks(2 * p.rows) >= device.multiprocessors) p.rows *= 2;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>((a.out_height + p.rows - 1) / p.rows * tiles),
                                       static_cast<unsigned>(a.outputs / 64), static_cast<unsigned>(a.batch)),
                          .block = dim3(kThreads),
                          .shared = shared_bytes(p.rows),
                          .dependent = a.dependent};
  return a.type == Scalar::kFloat16 ? launch_stem<__half>(p, shape, device, stream) : launch_stem<__nv_bfloat16>(p, shape, device, stream);
}

}  // namespace cameo::cuda
