// The kernel of stem.h for 8 bits. As in stem.cu a block makes some rows of the pool's results, 64 channels of them, two rows of the
// convolution at a time, while the next rows of the image are on their way. A pixel is four bytes, one word of an operand of mma, so that
// windows are read from the image as it lies in shared memory.
#include "backends/cuda/kernels/bytes.cuh"
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/stem.h"

namespace cameo::cuda {
namespace {

constexpr int kTaps = 7, kColumns = 64, kChannels = 64, kThreads = 128;
constexpr int kBlocks = 4;  // of a multiprocessor
constexpr int kK = kTaps * 32, kWeightPitch = kK + 16, kPixels = 2 * kColumns + 8, kSumsPitch = kChannels + 8;
constexpr int kRing = 16;                                     // rows of the image
constexpr int kNext = 4 * (4 * kStemColumns + 8) / kThreads;  // pixels of the next four rows, of a thread
constexpr int kShared = kChannels * kWeightPitch + 4 * kColumns * kSumsPitch + 8 * kChannels + 4 * kRing * kPixels + 16 * kNext * kThreads;

struct StemBytesParams {
  StemBytesArgs b;
  int columns, strips;  // of the pool, of a strip; of an image
  int64_t rows;         // of the pool, of a block, which may be of several strips
};

// The image's row `row` in the ring.
__device__ __forceinline__ int ring_row(int row) { return (row & (kRing - 1)) * kPixels; }

// d += a b: 16 rows of 32 uint8 by 8 columns of 32 int8.
__device__ __forceinline__ void multiply_bytes(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Sums of 16 columns and 64 channels in ROWS rows of the convolution, from the image's row `first` on; `image` is this lane's pixel of the
// ring, `weights` the address of its piece of W.
template <int ROWS>
__device__ __forceinline__ void convolve_rows(const uint32_t* image, int first, uint32_t weights, int (&acc)[ROWS][8][4]) {
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
      for (int i = 0; i < 4; ++i) af[r][i] = image[ring_row(first + 2 * r + tap) + (i & 1) * 16 + (i >> 1) * 4];
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

__device__ __forceinline__ void copy_async4(float* shared, const float* global, bool valid) {
#if __CUDA_ARCH__ >= 800
  const int bytes = valid ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
#endif
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
  __half* both_sums = reinterpret_cast<__half*>(weights + kChannels * kWeightPitch);   // of two rows of the pool by turns
  float4* factors = reinterpret_cast<float4*>(both_sums + 2 * kColumns * kSumsPitch);  // scales and biases of pairs of channels
  uint32_t* image = reinterpret_cast<uint32_t*>(factors + kChannels / 2);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, n0 = blockIdx.y * kChannels;
  float* ahead = reinterpret_cast<float*>(image + kRing * kPixels) + tid;  // [pixel][channel][thread]

  launch_dependents();
  for (int i = tid; i < kChannels * (kK / 16); i += kThreads) {
    const int n = i / (kK / 16), k = i % (kK / 16) * 16;
    copy_async16(weights + n * kWeightPitch + k, static_cast<const unsigned char*>(a.w) + static_cast<int64_t>(n0 + n) * kK + k, true);
  }
  wait_for_predecessor();
  if (tid < kChannels / 2) {
    const float2 scale = __ldg(reinterpret_cast<const float2*>(p.b.scale + n0) + tid);
    const float2 bias = __ldg(reinterpret_cast<const float2*>(p.b.bias + n0) + tid);
    factors[tid] = make_float4(scale.x, scale.y, bias.x, bias.y);
  }
  const uint32_t* image_at = image + 2 * (warp * 16 + (lane >> 2)) + (lane & 3);
  const uint32_t weights_at = shared_address(weights) + ((lane >> 4) * 8 + (lane & 7)) * kWeightPitch + ((lane >> 3) & 1) * 16;
  const uint32_t low = pack2<__half>(p.b.low, p.b.low), high = pack2<__half>(p.b.high, p.b.high);
  // To the nearest whole number, which float16 holds as far as bytes go.
  const auto rounded = [](int sum, float scale, float bias) {
    constexpr float kHuge = 12582912.f;  // 1.5 * 2^23
    return __fadd_rn(__fadd_rn(fmaf(static_cast<float>(sum), scale, bias), kHuge), -kHuge);
  };
  const int64_t plane = static_cast<int64_t>(a.height) * a.width, channel_step = a.channels_first ? plane : 1;
  const int pixel_step = a.channels_first ? 1 : a.channels, most = 4 * p.columns + 8;  // pixels of a row that are read
  // Where this thread's pixels of four rows are: row and column.
  int pixel_rows[kNext], pixel_columns[kNext];
#pragma unroll
  for (int u = 0; u < kNext; ++u) pixel_rows[u] = (tid + u * kThreads) / most, pixel_columns[u] = tid + u * kThreads - pixel_rows[u] * most;
  const int zero = p.b.x_zero;
  const float factor = p.b.x_factor;
  const int64_t end = min((blockIdx.x + 1) * p.rows, static_cast<int64_t>(a.batch) * p.strips * a.out_height);
  for (int64_t at = blockIdx.x * p.rows; at < end;) {
    const int strip = static_cast<int>(at / a.out_height), i0 = static_cast<int>(at - static_cast<int64_t>(strip) * a.out_height);
    const int batch = strip / p.strips, j0 = (strip - batch * p.strips) * p.columns;
    const int rows = static_cast<int>(min(static_cast<int64_t>(a.out_height - i0), end - at)), columns = min(p.columns, a.out_width - j0);
    at += rows;
    // The first row and column of the convolution here, which may lie outside.
    const int top = 2 * i0 - a.pool_pad_top, left = 2 * j0 - a.pool_pad_left;
    const float* x = static_cast<const float*>(a.x) + batch * plane * a.channels;
    const int first_row = 2 * top - a.pad_top, first_column = 2 * left - a.pad_left;
    // A pixel, or null.
    const auto pixel_at = [&](int row, int column, bool wanted) -> const float* {
      const int y = first_row + row, z = first_column + column;
      const bool there =
          wanted && static_cast<unsigned>(y) < static_cast<unsigned>(a.height) && static_cast<unsigned>(z) < static_cast<unsigned>(a.width);
      return there ? x + (static_cast<int64_t>(y) * a.width + z) * pixel_step : nullptr;
    };
    const auto put = [&](const float(&v)[4], int row, int column) {
      const auto code = [&](int e) { return __float2int_rn(v[e] * factor) + zero; };
      image[ring_row(row) + column] = pack_bytes<false>(code(0), code(1), code(2), code(3));
    };
    constexpr int kFirst = 4 + kTaps;  // rows that the first row of the pool needs
    constexpr int kTogether = 6;       // pixels on their way
    for (int first = tid; first < kFirst * most; first += kTogether * kThreads) {
      float v[kTogether][4];
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
        const int i = first + u * kThreads, r = i / most;
        const float* from = pixel_at(r, i - r * most, i < kFirst * most);
#pragma unroll
        for (int e = 0; e < 4; ++e) v[u][e] = from && e < a.channels ? __ldcg(from + e * channel_step) : 0.f;
      }
#pragma unroll
      for (int u = 0; u < kTogether; ++u)
        if (const int i = first + u * kThreads, r = i / most; i < kFirst * most) put(v[u], r, i - r * most);
    }
    copy_async_wait_all();
    __syncthreads();

    const int column = left + warp * 16 + (lane >> 2);  // of the thread's first sums; the others are 8 further
    const bool inside[2] = {static_cast<unsigned>(column) < static_cast<unsigned>(a.conv_width),
                            static_cast<unsigned>(column + 8) < static_cast<unsigned>(a.conv_width)};
    const auto row_inside = [&](int r) { return static_cast<unsigned>(top + r) < static_cast<unsigned>(a.conv_height); };
    // The larger of what is there and a row's results.
    const auto take = [&](uint32_t(&largest)[8][2], const int(&acc)[8][4], bool there, bool fresh) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const float4 f = factors[4 * j + (lane & 3)];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const uint32_t v =
              there && inside[h] ? pack2<__half>(rounded(acc[j][2 * h], f.x, f.z), rounded(acc[j][2 * h + 1], f.y, f.w)) : 0xfc00fc00u;
          largest[j][h] = fresh ? v : larger2(largest[j][h], v);
        }
      }
    };
    uint32_t kept[8][2];
    {
      int acc[1][8][4];
      convolve_rows<1>(image_at, 0, weights_at, acc);
      take(kept, acc[0], row_inside(0), true);
    }
    for (int i = 0; i < rows; ++i) {
      const int next_row = 4 * i + kFirst;
#pragma unroll
      for (int u = 0; u < kNext; ++u) {
        const float* from = pixel_at(next_row + pixel_rows[u], pixel_columns[u], i + 1 < rows && pixel_rows[u] < 4);
#pragma unroll
        for (int e = 0; e < 4; ++e)
          copy_async4(ahead + (4 * u + e) * kThreads, from && e < a.channels ? from + e * channel_step : x, from && e < a.channels);
      }
      int acc[2][8][4];
      convolve_rows<2>(image_at, 4 * i + 2, weights_at, acc);
      take(kept, acc[0], row_inside(2 * i + 1), false);
      uint32_t next[8][2];
      take(next, acc[1], row_inside(2 * i + 2), true);
      __half* sums = both_sums + i % 2 * kColumns * kSumsPitch;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          *reinterpret_cast<uint32_t*>(sums + (warp * 16 + (lane >> 2) + 8 * h) * kSumsPitch + j * 8 + 2 * (lane & 3)) =
              larger2(kept[j][h], next[j][h]);
          kept[j][h] = next[j][h];
        }
      // These rows of the ring were read a row of the pool ago.
      copy_async_wait_all();
#pragma unroll
      for (int u = 0; u < kNext; ++u) {
        const float* v = ahead + 4 * u * kThreads;
        if (i + 1 < rows && pixel_rows[u] < 4)
          put({v[0], v[kThreads], v[2 * kThreads], v[3 * kThreads]}, next_row + pixel_rows[u], pixel_columns[u]);
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
    __syncthreads();  // the ring and the sums are free
  }
}

}  // namespace

const char* stem_bytes_refusal(const StemBytesArgs& b, const DeviceTraits& device) {
  StemArgs a = b.stem;
  a.type = Scalar::kFloat16;
  a.image_type = Scalar::kFloat32;
  a.bias = nullptr;
  if (const char* why = stem_refusal(a, device)) return why;
  if (static_cast<size_t>(device.shared_memory) < kShared) return "there is too little shared memory";
  if (b.x_zero < 0 || b.x_zero > 255) return "the image's zero is no byte";
  if (!(b.low >= -128 && b.low <= b.high && b.high <= 255)) return "results are no bytes";
  for (const void* p : {b.scale, b.bias})
    if (reinterpret_cast<uintptr_t>(p) % 16) return "an operand is not aligned to 16 bytes";
  return nullptr;
}

cudaError_t stem_bytes(const StemBytesArgs& b, const DeviceTraits& device, cudaStream_t stream) {
  const StemStrips s = stem_strips(b.stem, kBlocks * device.multiprocessors);
  const StemBytesParams p{b, s.columns, s.strips, s.rows};
  const LaunchShape shape{.grid = dim3(s.blocks, static_cast<unsigned>(b.stem.outputs / kChannels)),
                          .block = dim3(kThreads),
                          .shared = kShared,
                          .dependent = b.stem.dependent};
  return launch(stem_bytes_kernel, shape, stream, p);
}

}  // namespace cameo::cuda
