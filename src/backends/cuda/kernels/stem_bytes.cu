// The kernel of stem.h for 8 bits. As in stem.cu a block makes some rows of the pool's results, 64 channels of them, two rows of the
// convolution at a time. A pixel is four bytes, one word of an operand of mma, so that windows are read from the image as it lies in
// shared memory.
#include "backends/cuda/kernels/bytes.cuh"
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/stem.h"

namespace cameo::cuda {
namespace {

constexpr int kTaps = 7, kColumns = 64, kChannels = 64, kThreads = 128;
constexpr int kBlocks = 4;  // of a multiprocessor
constexpr int kMostRows = 8;
constexpr int kK = kTaps * 32, kWeightPitch = kK + 16, kPixels = 2 * kColumns + 8, kSumsPitch = kChannels + 8;

struct StemBytesParams {
  StemBytesArgs b;
  int rows, columns;  // of the pool, of a block
};

size_t shared_bytes(int rows) {
  return kChannels * kWeightPitch + 2 * kColumns * kSumsPitch + static_cast<size_t>(4) * (4 * rows + kTaps) * kPixels;
}

// d += a b: 16 rows of 32 uint8 by 8 columns of 32 int8.
__device__ __forceinline__ void multiply_bytes(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Sums of 16 columns and 64 channels in ROWS rows of the convolution; `image` is this lane's pixel of the first row, `weights` the address
// of its piece of W.
template <int ROWS>
__device__ __forceinline__ void convolve_rows(const uint32_t* image, uint32_t weights, int (&acc)[ROWS][8][4]) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) acc[r][j][e] = 0;
#pragma unroll
  for (int tap = 0; tap < kTaps; ++tap) {
    uint32_t af[ROWS][4];
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) af[r][i] = image[(2 * r + tap) * kPixels + (i & 1) * 16 + (i >> 1) * 4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      uint32_t bf[4];
      ldmatrix4_at(bf, weights + j * 16 * kWeightPitch + tap * 32);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        multiply_bytes(acc[r][2 * j], af[r], bf[0], bf[1]);
        multiply_bytes(acc[r][2 * j + 1], af[r], bf[2], bf[3]);
      }
    }
  }
}

__device__ __forceinline__ uint32_t larger2(uint32_t a, uint32_t b) {
  uint32_t r = 0;
#if __CUDA_ARCH__ >= 800
  asm("max.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
#endif
  return r;
}
__device__ __forceinline__ uint32_t smaller2(uint32_t a, uint32_t b) {
  uint32_t r = 0;
#if __CUDA_ARCH__ >= 800
  asm("min.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
#endif
  return r;
}

__global__ void __launch_bounds__(kThreads, kBlocks) stem_bytes_kernel(const __grid_constant__ StemBytesParams p) {
  extern __shared__ __align__(128) unsigned char memory[];
  const StemArgs& a = p.b.stem;
  unsigned char* weights = memory;
  __half* sums = reinterpret_cast<__half*>(weights + kChannels * kWeightPitch);
  uint32_t* image = reinterpret_cast<uint32_t*>(sums + kColumns * kSumsPitch);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
  const int batch = blockIdx.z, n0 = blockIdx.y * kChannels;
  const int tiles = (a.out_width + p.columns - 1) / p.columns, strip = blockIdx.x / tiles;
  const int j0 = (blockIdx.x - strip * tiles) * p.columns, i0 = strip * p.rows;
  const int rows = min(p.rows, a.out_height - i0), columns = min(p.columns, a.out_width - j0);
  // The first row and column of the convolution here, which may lie outside.
  const int top = 2 * i0 - a.pool_pad_top, left = 2 * j0 - a.pool_pad_left;

  launch_dependents();
  for (int i = tid; i < kChannels * (kK / 16); i += kThreads) {
    const int n = i / (kK / 16), k = i % (kK / 16) * 16;
    copy_async16(weights + n * kWeightPitch + k, static_cast<const unsigned char*>(a.w) + static_cast<int64_t>(n0 + n) * kK + k, true);
  }
  wait_for_predecessor();
  const int64_t plane = static_cast<int64_t>(a.height) * a.width;
  const float* x = static_cast<const float*>(a.x) + batch * plane * a.channels;
  const int64_t channel_step = a.channels_first ? plane : 1;
  const int pixel_step = a.channels_first ? 1 : a.channels;
  const int first_row = 2 * top - a.pad_top, first_column = 2 * left - a.pad_left;
  const int pixels = (4 * rows + kTaps) * kPixels, zero = p.b.x_zero;
  const float factor = p.b.x_factor;
  constexpr int kTogether = 6;  // pixels on their way
  for (int first = tid; first < pixels; first += kTogether * kThreads) {
    float v[kTogether][4];
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
      const int i = first + u * kThreads, r = i / kPixels, c = i - r * kPixels, y = first_row + r, z = first_column + c;
      const bool there = i < pixels && static_cast<unsigned>(y) < static_cast<unsigned>(a.height) &&
                         static_cast<unsigned>(z) < static_cast<unsigned>(a.width);
      const float* from = x + (static_cast<int64_t>(y) * a.width + z) * pixel_step;
#pragma unroll
      for (int e = 0; e < 4; ++e) v[u][e] = there && e < a.channels ? __ldcg(from + e * channel_step) : 0.f;
    }
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
      const auto code = [&](int e) { return __float2int_rn(v[u][e] * factor) + zero; };
      if (const int i = first + u * kThreads; i < pixels) image[i] = pack_bytes<false>(code(0), code(1), code(2), code(3));
    }
  }
  float2 scale[8], bias[8];
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int c = n0 + j * 8 + 2 * (lane & 3);
    scale[j] = __ldg(reinterpret_cast<const float2*>(p.b.scale + c));
    bias[j] = __ldg(reinterpret_cast<const float2*>(p.b.bias + c));
  }
  copy_async_wait_all();
  __syncthreads();

  const uint32_t* image_at = image + 2 * (warp * 16 + (lane >> 2)) + (lane & 3);
  const uint32_t weights_at = shared_address(weights) + ((lane >> 4) * 8 + (lane & 7)) * kWeightPitch + ((lane >> 3) & 1) * 16;
  const int column = left + warp * 16 + (lane >> 2);  // of the thread's first sums; the others are 8 further
  const bool inside[2] = {static_cast<unsigned>(column) < static_cast<unsigned>(a.conv_width),
                          static_cast<unsigned>(column + 8) < static_cast<unsigned>(a.conv_width)};
  const auto row_inside = [&](int r) { return static_cast<unsigned>(top + r) < static_cast<unsigned>(a.conv_height); };
  // To the nearest whole number, which float16 holds as far as bytes go.
  const auto rounded = [](int sum, float scale, float bias) {
    constexpr float kHuge = 12582912.f;  // 1.5 * 2^23
    return __fadd_rn(__fadd_rn(fmaf(static_cast<float>(sum), scale, bias), kHuge), -kHuge);
  };
  // The larger of what is there and a row's results.
  const auto take = [&](uint32_t(&largest)[8][2], const int(&acc)[8][4], bool there, bool fresh) {
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const uint32_t v = there && inside[h] ? pack2<__half>(rounded(acc[j][2 * h], scale[j].x, bias[j].x),
                                                              rounded(acc[j][2 * h + 1], scale[j].y, bias[j].y))
                                              : 0xfc00fc00u;
        largest[j][h] = fresh ? v : larger2(largest[j][h], v);
      }
  };
  const uint32_t low = pack2<__half>(p.b.low, p.b.low), high = pack2<__half>(p.b.high, p.b.high);
  uint32_t kept[8][2];
  {
    int acc[1][8][4];
    convolve_rows<1>(image_at, weights_at, acc);
    take(kept, acc[0], row_inside(0), true);
  }
  for (int i = 0; i < rows; ++i) {
    int acc[2][8][4];
    convolve_rows<2>(image_at + 2 * (2 * i + 1) * kPixels, weights_at, acc);
    take(kept, acc[0], row_inside(2 * i + 1), false);
    uint32_t next[8][2];
    take(next, acc[1], row_inside(2 * i + 2), true);
    if (i > 0) __syncthreads();
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        *reinterpret_cast<uint32_t*>(sums + (warp * 16 + (lane >> 2) + 8 * h) * kSumsPitch + j * 8 + 2 * (lane & 3)) =
            larger2(kept[j][h], next[j][h]);
        kept[j][h] = next[j][h];
      }
    __syncthreads();
    for (int k = tid; k < columns * (kChannels / 8); k += kThreads) {
      const int c = k / (kChannels / 8), piece = k % (kChannels / 8) * 8;
      uint32_t v[4] = {low, low, low, low};
#pragma unroll
      for (int t = 0; t < 3; ++t) {
        const uint4 other = *reinterpret_cast<const uint4*>(sums + (2 * c + t) * kSumsPitch + piece);
        v[0] = larger2(v[0], other.x), v[1] = larger2(v[1], other.y);
        v[2] = larger2(v[2], other.z), v[3] = larger2(v[3], other.w);
      }
      // 1536 more, a whole number from -128 to 255 is the lower byte of its bits.
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const uint32_t s = smaller2(v[e], high);
        const __half2 raised = __hadd2(*reinterpret_cast<const __half2*>(&s), __float2half2_rn(1536.f));
        v[e] = *reinterpret_cast<const uint32_t*>(&raised);
      }
      unsigned char* to = static_cast<unsigned char*>(a.y) +
                          ((static_cast<int64_t>(batch) * a.out_height + i0 + i) * a.out_width + j0 + c) * a.outputs + n0 + piece;
      *reinterpret_cast<uint2*>(to) = make_uint2(__byte_perm(v[0], v[1], 0x6420), __byte_perm(v[2], v[3], 0x6420));
    }
  }
}

}  // namespace

const char* stem_bytes_refusal(const StemBytesArgs& b, const DeviceTraits& device) {
  StemArgs a = b.stem;
  a.type = Scalar::kFloat16;
  a.image_type = Scalar::kFloat32;
  a.bias = nullptr;
  if (const char* why = stem_refusal(a, device)) return why;
  if (static_cast<size_t>(device.shared_memory) < shared_bytes(kMostRows)) return "there is too little shared memory";
  if (b.x_zero < 0 || b.x_zero > 255) return "the image's zero is no byte";
  if (!(b.low >= -128 && b.low <= b.high && b.high <= 255)) return "results are no bytes";
  for (const void* p : {b.scale, b.bias})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

cudaError_t stem_bytes(const StemBytesArgs& b, const DeviceTraits& device, cudaStream_t stream) {
  const StemArgs& a = b.stem;
  constexpr int kMostColumns = (kColumns - 1) / 2;
  StemBytesParams p{b, 1, 0};
  const int tiles = (a.out_width + kMostColumns - 1) / kMostColumns;
  p.columns = (a.out_width + tiles - 1) / tiles;
  const auto blocks = [&](int rows) { return static_cast<int64_t>((a.out_height + rows - 1) / rows) * tiles * (a.outputs / 64) * a.batch; };
  while (p.rows < kMostRows && blocks(2 * p.rows) >= (kBlocks - 1) * device.multiprocessors) p.rows *= 2;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>((a.out_height + p.rows - 1) / p.rows * tiles),
                                       static_cast<unsigned>(a.outputs / 64), static_cast<unsigned>(a.batch)),
                          .block = dim3(kThreads),
                          .shared = shared_bytes(p.rows),
                          .dependent = a.dependent};
  return launch(stem_bytes_kernel, shape, stream, p);
}

}  // namespace cameo::cuda
