// uint8 by int8 products. Variants:
//   vnni      vpdpbusd. AVX-512: tiles of 6 rows by 4 panels: 24 sums, 4 vectors of B and one of A fill 29 of 32 registers.
//             AVX-VNNI: 3 rows by 2 panels: 12 sums, a vector of B and 3 of A fill 16 registers
//   multiply  AVX2: bytes are widened to 16 bits for pmaddwd, whose sums of two products are exact (pmaddubsw saturates), 2 rows
//             by one panel; elsewhere plain loops over the 16 columns
// int32 sums are exact and wrap around like the reference's, so every variant gives the same bits.
#include "backends/cpu/kernels/quantized_gemm.h"

#include "backends/cpu/simd/bytes.h"

// GCC 12 takes the undefined vectors in its own intrinsics for uninitialised variables.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace cameo::cpu::CAMEO_ISA {
namespace {

#if defined(__AVX2__)

CAMEO_INLINE __m256i broadcast_words(const uint8_t* a) {
  int32_t four;
  __builtin_memcpy(&four, a, 4);
  return _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
}

template <int Rows>
CAMEO_INLINE void multiply_panel(const QuantizedGemm& g, int64_t row, int64_t panel, int32_t* c) {
  // Four columns a vector, each with the sums of its even and its odd pair of rows of B.
  __m256i sums[Rows][4];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int q = 0; q < 4; ++q) sums[r][q] = _mm256_setzero_si256();
  const int8_t* b = g.b + panel * g.taps * g.depth * 16;
  for (int64_t t = 0; t < g.taps; ++t) {
    const uint8_t* a[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) a[r] = g.rows[t * g.row_pitch + row + r];
    for (int64_t k = 0; k < g.depth; k += 4, b += 64) {
      __m256i x[Rows];
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) x[r] = broadcast_words(a[r] + k);
#pragma GCC unroll 8
      for (int q = 0; q < 4; ++q) {
        const __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + q * 16)));
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) sums[r][q] = _mm256_add_epi32(sums[r][q], _mm256_madd_epi16(x[r], w));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int half = 0; half < 2; ++half) {
      // hadd leaves the columns of both vectors in lanes 0 1 4 5 | 2 3 6 7.
      const __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sums[r][2 * half], sums[r][2 * half + 1]), 0xd8);
      const __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(g.start + panel * 16 + half * 8));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * g.ldc + half * 8), _mm256_add_epi32(pairs, start));
    }
}

#else

template <int Rows>
CAMEO_INLINE void multiply_panel(const QuantizedGemm& g, int64_t row, int64_t panel, int32_t* c) {
  for (int r = 0; r < Rows; ++r) {
    int32_t sums[16];
    for (int j = 0; j < 16; ++j) sums[j] = g.start[panel * 16 + j];
    const int8_t* b = g.b + panel * g.taps * g.depth * 16;
    for (int64_t t = 0; t < g.taps; ++t) {
      const uint8_t* a = g.rows[t * g.row_pitch + row + r];
      for (int64_t k = 0; k < g.depth; k += 4, b += 64)
        for (int j = 0; j < 16; ++j) {
          const int32_t sum = a[k] * b[j * 4] + a[k + 1] * b[j * 4 + 1] + a[k + 2] * b[j * 4 + 2] + a[k + 3] * b[j * 4 + 3];
          sums[j] = static_cast<int32_t>(static_cast<uint32_t>(sums[j]) + static_cast<uint32_t>(sum));
        }
    }
    __builtin_memcpy(c + r * g.ldc, sums, sizeof sums);
  }
}

#endif

void multiply(const QuantizedGemm& g, int64_t rows, int64_t first_panel, int64_t last_panel) {
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    int32_t* c = g.c + (panel - first_panel) * 16;
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2) multiply_panel<2>(g, r, panel, c + r * g.ldc);
    if (r < rows) multiply_panel<1>(g, r, panel, c + r * g.ldc);
  }
}

CAMEO_INLINE Vec load_bytes(const void* p, ByteType type, int64_t i) {
  const uint8_t* at = static_cast<const uint8_t*>(p) + i;
  return to_float(type == ByteType::kUint8 ? load_u8(at) : load_s8(at));
}
CAMEO_INLINE float load_byte(const void* p, ByteType type, int64_t i) {
  return type == ByteType::kUint8 ? static_cast<const uint8_t*>(p)[i] : static_cast<const int8_t*>(p)[i];
}

// To the nearest integer, halves to even, for |x| < 2^22.
CAMEO_INLINE VecI nearest(Vec x) {
#if defined(__AVX512F__)
  return (VecI)_mm512_cvtps_epi32((__m512)x);
#elif defined(__AVX2__)
  return (VecI)_mm256_cvtps_epi32((__m256)x);
#else
  const Vec magic = splat(12582912.f);
  return as_int(x + magic) - as_int(magic);
#endif
}
CAMEO_INLINE float lowest(ByteType type) { return type == ByteType::kUint8 ? 0.f : -128.f; }
// Codes are rounded before the zero point is added, as QuantizeLinear does it.
CAMEO_INLINE void store_bytes(void* p, int64_t i, Vec cut, int32_t zero) {
  store_low_bytes(static_cast<uint8_t*>(p) + i, nearest(cut) + splat_i(zero));
}
CAMEO_INLINE void store_byte(void* p, int64_t i, float cut, int32_t zero) {
  static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(static_cast<int32_t>(__builtin_nearbyintf(cut)) + zero);
}

#if defined(__AVX512BW__)
// Four vectors of integers plus `zero` as 64 bytes, saturated and then cut to [low, high]. The lower bound and the saturation are
// left to the bytes because NaN and what is too low are converted to the least integer.
struct BytePacking {
  __m512i zero, low, high;
  bool is_signed;

  explicit BytePacking(const QuantizedFinish& f)
      : zero(_mm512_set1_epi16(static_cast<int16_t>(f.zero))),
        low(bound(f, f.low)),
        high(bound(f, f.high)),
        is_signed(f.y_type == ByteType::kInt8) {}
  static __m512i bound(const QuantizedFinish& f, float value) {
    if (f.y_type == ByteType::kFloat) return _mm512_setzero_si512();  // no integer may stand for it
    return _mm512_set1_epi8(static_cast<char>(static_cast<int32_t>(__builtin_nearbyintf(value)) + f.zero));
  }
  [[gnu::always_inline]] __m512i operator()(const __m512i* v) const {
    const __m512i a = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), zero), b = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), zero);
    // Packing works within quarters of the vectors.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    if (is_signed) {
      const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(a, b));
      return _mm512_min_epi8(_mm512_max_epi8(bytes, low), high);
    }
    const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(a, b));
    return _mm512_min_epu8(_mm512_max_epu8(bytes, low), high);
  }
};
#endif

#if defined(__AVX2__)
#if defined(__AVX512F__)
#define CAMEO_VNNI __attribute__((target("avx512vnni")))
using Ints = __m512i;
constexpr int kTileRows = 6, kTilePanels = 4;
CAMEO_INLINE Ints load_ints(const void* p) { return _mm512_loadu_si512(p); }
CAMEO_INLINE void store_ints(int32_t* p, Ints v) { _mm512_storeu_si512(p, v); }
CAMEO_INLINE Ints all_ints(int32_t v) { return _mm512_set1_epi32(v); }
CAMEO_INLINE CAMEO_VNNI Ints dot(Ints sums, Ints a, Ints b) { return _mm512_dpbusd_epi32(sums, a, b); }
#else
#define CAMEO_VNNI __attribute__((target("avxvnni")))
using Ints = __m256i;
constexpr int kTileRows = 3, kTilePanels = 2;
CAMEO_INLINE Ints load_ints(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
CAMEO_INLINE void store_ints(int32_t* p, Ints v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
CAMEO_INLINE Ints all_ints(int32_t v) { return _mm256_set1_epi32(v); }
CAMEO_INLINE CAMEO_VNNI Ints dot(Ints sums, Ints a, Ints b) { return _mm256_dpbusd_avx_epi32(sums, a, b); }
#endif
constexpr int kVectors = 64 / sizeof(Ints);  // a panel of sums, or of four rows of B

// The loops are unrolled by name: what is left to later passes of the compiler keeps its sums in memory.
template <int Rows, int Panels>
CAMEO_VNNI void tile(const QuantizedGemm& g, int64_t row, int64_t panel, int32_t* c) {
  constexpr int kWidth = Panels * kVectors, kLength = sizeof(Ints);
  Ints sums[Rows][kWidth];
#pragma GCC unroll 8
  for (int v = 0; v < kWidth; ++v) {
    const Ints start = load_ints(g.start + panel * 16 + v * (kLength / 4));
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) sums[r][v] = start;
  }
  const int64_t stride = g.taps * g.depth * 16, depth = g.depth;
  const int8_t* b = g.b + panel * stride;
  for (int64_t t = 0; t < g.taps; ++t) {
    const uint8_t* a[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) a[r] = g.rows[t * g.row_pitch + row + r];
    for (int64_t k = 0; k < depth; k += 4, b += 64) {
#if defined(__AVX512F__)
      Ints w[kWidth];
#pragma GCC unroll 8
      for (int v = 0; v < kWidth; ++v) w[v] = load_ints(b + v * stride);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        int32_t four;
        __builtin_memcpy(&four, a[r] + k, 4);
        const Ints x = all_ints(four);
#pragma GCC unroll 8
        for (int v = 0; v < kWidth; ++v) sums[r][v] = dot(sums[r][v], x, w[v]);
      }
#else
      Ints x[Rows];
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        int32_t four;
        __builtin_memcpy(&four, a[r] + k, 4);
        x[r] = all_ints(four);
      }
#pragma GCC unroll 8
      for (int v = 0; v < kWidth; ++v) {
        const Ints w = load_ints(b + v / kVectors * stride + v % kVectors * kLength);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) sums[r][v] = dot(sums[r][v], x[r], w);
      }
#endif
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kWidth; ++v) store_ints(c + r * g.ldc + v * (kLength / 4), sums[r][v]);
}

template <int Rows, int Panels>
CAMEO_VNNI void last_rows(const QuantizedGemm& g, int64_t row, int64_t rows, int64_t panel, int32_t* c) {
  if (rows == Rows) return tile<Rows, Panels>(g, row, panel, c);
  if constexpr (Rows > 1) last_rows<Rows - 1, Panels>(g, row, rows, panel, c);
}

template <int Panels>
CAMEO_VNNI void tiles(const QuantizedGemm& g, int64_t rows, int64_t panel, int32_t* c) {
  int64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) tile<kTileRows, Panels>(g, r, panel, c + r * g.ldc);
  last_rows<kTileRows - 1, Panels>(g, r, rows - r, panel, c + r * g.ldc);
}

CAMEO_VNNI void multiply_vnni(const QuantizedGemm& g, int64_t rows, int64_t first_panel, int64_t last_panel) {
  int64_t panel = first_panel;
  for (; panel + kTilePanels <= last_panel; panel += kTilePanels) tiles<kTilePanels>(g, rows, panel, g.c + (panel - first_panel) * 16);
#if defined(__AVX512F__)
  for (; panel + 2 <= last_panel; panel += 2) tiles<2>(g, rows, panel, g.c + (panel - first_panel) * 16);
#endif
  if (panel < last_panel) tiles<1>(g, rows, panel, g.c + (panel - first_panel) * 16);
}
#endif

template <ByteType Residual, ByteType Y>
void finish_as(const QuantizedFinish& given) {
  constexpr int64_t kResidualSize = Residual == ByteType::kFloat ? 4 : 1, kSize = Y == ByteType::kFloat ? 4 : 1;
  const QuantizedFinish f = given;  // bytes that are stored may alias what is given, but not a copy
  const Vec low = splat(f.low), high = splat(f.high), residual_scale = splat(f.residual_scale);
#if defined(__AVX512BW__)
  const BytePacking pack(f);
#endif
  for (int64_t row = 0; row < f.rows; ++row) {
    const int32_t* acc = f.acc + row * f.acc_stride;
    const void* residual =
        f.residual == nullptr ? nullptr : static_cast<const uint8_t*>(f.residual) + row * f.residual_stride * kResidualSize;
    void* y = static_cast<uint8_t*>(f.y) + row * f.y_stride * kSize;
    int64_t i = 0;
#if defined(__AVX512BW__)
    if constexpr (Y != ByteType::kFloat)
      for (; i + 64 <= f.count; i += 64) {
        __m512i codes[4];
#pragma GCC unroll 4
        for (int64_t j = 0; j < 4; ++j) {
          const int64_t at = i + j * kLanes;
          Vec v = fma(to_float(load_i(acc + at)), load(f.scales + at), load(f.bias + at));
          if constexpr (Residual == ByteType::kFloat) v = fma(load(static_cast<const float*>(residual) + at), residual_scale, v);
          if constexpr (Residual == ByteType::kUint8 || Residual == ByteType::kInt8)
            v = fma(load_bytes(residual, Residual, at), residual_scale, v);
          codes[j] = _mm512_cvtps_epi32(_mm512_min_ps((__m512)high, (__m512)v));
        }
        _mm512_storeu_si512(static_cast<uint8_t*>(y) + i, pack(codes));
      }
#endif
    for (; i + kLanes <= f.count; i += kLanes) {
      Vec v = fma(to_float(load_i(acc + i)), load(f.scales + i), load(f.bias + i));
      if constexpr (Residual == ByteType::kFloat) v = fma(load(static_cast<const float*>(residual) + i), residual_scale, v);
      if constexpr (Residual == ByteType::kUint8 || Residual == ByteType::kInt8)
        v = fma(load_bytes(residual, Residual, i), residual_scale, v);
      v = vmin(vmax(v, low), high);
      if constexpr (Y == ByteType::kFloat)
        store(static_cast<float*>(y) + i, v);
      else
        store_bytes(y, i, v, f.zero);
    }
    for (; i < f.count; ++i) {
      float v = static_cast<float>(acc[i]) * f.scales[i] + f.bias[i];
      if constexpr (Residual == ByteType::kFloat) v = static_cast<const float*>(residual)[i] * f.residual_scale + v;
      if constexpr (Residual == ByteType::kUint8 || Residual == ByteType::kInt8)
        v = load_byte(residual, Residual, i) * f.residual_scale + v;
      v = v > f.low ? v : f.low;
      v = v < f.high ? v : f.high;
      if constexpr (Y == ByteType::kFloat)
        static_cast<float*>(y)[i] = v;
      else
        store_byte(y, i, v, f.zero);
    }
  }
}

template <ByteType Residual>
void finish_with(const QuantizedFinish& f) {
  if (f.y_type == ByteType::kFloat)
    finish_as<Residual, ByteType::kFloat>(f);
  else if (f.y_type == ByteType::kUint8)
    finish_as<Residual, ByteType::kUint8>(f);
  else
    finish_as<Residual, ByteType::kInt8>(f);
}

void finish(const QuantizedFinish& f) {
  switch (f.residual_type) {
    case ByteType::kNone:
      return finish_with<ByteType::kNone>(f);
    case ByteType::kUint8:
      return finish_with<ByteType::kUint8>(f);
    case ByteType::kInt8:
      return finish_with<ByteType::kInt8>(f);
    case ByteType::kFloat:
      return finish_with<ByteType::kFloat>(f);
  }
}

void to_bytes(const ByteRow& given) {
  const ByteRow row = given;
  const float low = lowest(row.type) - row.zero, high = low + 255;
  const auto zero = static_cast<int32_t>(row.zero);
  int64_t i = 0;
  for (; i + kLanes <= row.count; i += kLanes) {
    const Vec x = load(row.floats + i), scale = row.scales != nullptr ? load(row.scales + i) : splat(row.scale);
    store_bytes(row.bytes, i, vmin(vmax(x / scale, splat(low)), splat(high)), zero);  // NaN to the lowest, as in the reference
  }
  for (; i < row.count; ++i) {
    float x = row.floats[i] / (row.scales != nullptr ? row.scales[i] : row.scale);
    x = x > low ? x : low;
    store_byte(row.bytes, i, x < high ? x : high, zero);
  }
}

void to_floats(const ByteRow& given) {
  const ByteRow row = given;
  int64_t i = 0;
  for (; i + kLanes <= row.count; i += kLanes)
    store(row.floats + i, (load_bytes(row.bytes, row.type, i) - splat(row.zero)) * splat(row.scale));
  for (; i < row.count; ++i) row.floats[i] = (load_byte(row.bytes, row.type, i) - row.zero) * row.scale;
}

void depthwise(const uint8_t* const* rows, int64_t taps, const int8_t* weights, const int32_t* start, int64_t count, int32_t* acc) {
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    VecI sum = load_i(start + j);
    for (int64_t t = 0; t < taps; ++t) sum += load_u8(rows[t] + j) * load_s8(weights + t * count + j);
    store_i(acc + j, sum);
  }
  for (; j < count; ++j) {
    int32_t sum = start[j];
    for (int64_t t = 0; t < taps; ++t) sum += rows[t][j] * weights[t * count + j];
    acc[j] = sum;
  }
}

}  // namespace

const QuantizedGemmKernels quantized_gemm_kernels = {
    .multiply = &multiply,
#if defined(__AVX2__)
    .multiply_vnni = &multiply_vnni,
#else
    .multiply_vnni = nullptr,
#endif
    .finish = &finish,
    .to_bytes = &to_bytes,
    .to_floats = &to_floats,
    .depthwise = &depthwise,
};

}  // namespace cameo::cpu::CAMEO_ISA
