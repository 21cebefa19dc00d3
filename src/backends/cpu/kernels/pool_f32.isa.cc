// A vector holds channels of one output pixel; four vectors of floats at a time hide the latency from tap to tap.
#include "backends/cpu/kernels/pool_f32.h"

#include "backends/cpu/simd/vec.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

struct Max {
  static constexpr bool kIsMean = false;
  CAMEO_INLINE Vec start() { return splat(-__builtin_inff()); }
  // NaN wins, and stays.
  CAMEO_INLINE Vec step(Vec best, Vec x) {
    const Vec larger = vmax(best, x);  // x where either is NaN
    return select(best == best, larger, best);
  }
};

struct Mean {
  static constexpr bool kIsMean = true;
  CAMEO_INLINE Vec start() { return Vec{}; }
  CAMEO_INLINE Vec step(Vec sum, Vec x) { return sum + x; }
};

// The taps [begin, end) of a window along one axis that lie inside an input of that extent.
struct Taps {
  int64_t begin, end;
  Taps(int64_t start, int64_t extent, int64_t kernel, int64_t dilation) {
    begin = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    end = start >= extent ? 0 : (extent - 1 - start) / dilation + 1;
    if (end > kernel) end = kernel;
    if (end < begin) end = begin;
  }
};

CAMEO_INLINE Vec load_some(const float* p, int64_t n) { return n >= kLanes ? load(p) : load_part(p, n); }

// `Vectors` vectors of channels of one pixel, of which the last one has `lanes` channels; x is at tap (0, 0).
template <class Op, int Vectors>
CAMEO_INLINE void pixel(const PoolRows<float>& p, const float* x, Taps down, Taps across, int64_t lanes, float divisor, float* y) {
  Vec all[Vectors];
  for (int v = 0; v < Vectors; ++v) all[v] = Op::start();
  for (int64_t i = down.begin; i < down.end; ++i)
    for (int64_t j = across.begin; j < across.end; ++j) {
      const float* at = x + (i * p.dilation_height * p.in_width + j * p.dilation_width) * p.channels;
      for (int v = 0; v < Vectors; ++v)
        all[v] = Op::step(all[v], v + 1 < Vectors ? load(at + v * kLanes) : load_some(at + v * kLanes, lanes));
    }
  for (int v = 0; v < Vectors; ++v) {
    if (Op::kIsMean) all[v] = divisor == 0 ? Vec{} : all[v] / splat(divisor);
    if (v + 1 < Vectors || lanes >= kLanes)
      store(y + v * kLanes, all[v]);
    else
      store_part(y + v * kLanes, all[v], lanes);
  }
}

template <class Op>
void pool(const PoolRows<float>& p) {
  constexpr int kVectors = 4;
  for (int64_t oy = p.first_row; oy < p.last_row; ++oy) {
    const int64_t top = oy * p.stride_height - p.pad_top;
    const Taps down(top, p.in_height, p.kernel_height, p.dilation_height);
    for (int64_t ox = 0; ox < p.out_width; ++ox) {
      const int64_t left = ox * p.stride_width - p.pad_left;
      const Taps across(left, p.in_width, p.kernel_width, p.dilation_width);
      const float* x = p.x + (top * p.in_width + left) * p.channels;
      float* y = p.y + (oy * p.out_width + ox) * p.channels;
      const float divisor = Op::kIsMean ? p.row_counts[oy] * p.column_counts[ox] : 0;
      int64_t c = 0;
      for (; c + kVectors * kLanes <= p.channels; c += kVectors * kLanes)
        pixel<Op, kVectors>(p, x + c, down, across, kLanes, divisor, y + c);
      for (; c < p.channels; c += kLanes) pixel<Op, 1>(p, x + c, down, across, p.channels - c, divisor, y + c);
    }
  }
}

// Channels of one pixel, as many as V has.
template <class T, class V>
CAMEO_INLINE void largest(const PoolRows<T>& p, const T* x, Taps down, Taps across, T* y) {
  constexpr T kLeast = static_cast<T>(-1) < 0 ? static_cast<T>(-128) : 0;
  V best = V{};
  best += kLeast;
  for (int64_t i = down.begin; i < down.end; ++i)
    for (int64_t j = across.begin; j < across.end; ++j) {
      V v;
      __builtin_memcpy(&v, x + (i * p.dilation_height * p.in_width + j * p.dilation_width) * p.channels, sizeof v);
      best = v > best ? v : best;
    }
  __builtin_memcpy(y, &best, sizeof best);
}

template <class T>
void pool_bytes(const PoolRows<T>& p) {
  constexpr int64_t kBytes = kLanes * 4;
  typedef T Bytes __attribute__((vector_size(kBytes)));
  typedef T Few __attribute__((vector_size(8)));
  for (int64_t oy = p.first_row; oy < p.last_row; ++oy) {
    const int64_t top = oy * p.stride_height - p.pad_top;
    const Taps down(top, p.in_height, p.kernel_height, p.dilation_height);
    for (int64_t ox = 0; ox < p.out_width; ++ox) {
      const int64_t left = ox * p.stride_width - p.pad_left;
      const Taps across(left, p.in_width, p.kernel_width, p.dilation_width);
      const T* x = p.x + (top * p.in_width + left) * p.channels;
      T* y = p.y + (oy * p.out_width + ox) * p.channels;
      int64_t c = 0;
      for (; c + kBytes <= p.channels; c += kBytes) largest<T, Bytes>(p, x + c, down, across, y + c);
      for (; c + 8 <= p.channels; c += 8) largest<T, Few>(p, x + c, down, across, y + c);
      for (; c < p.channels; ++c) largest<T, T>(p, x + c, down, across, y + c);
    }
  }
}

}  // namespace

extern const PoolKernels pool_f32_kernels = {
    .max = &pool<Max>, .mean = &pool<Mean>, .max_u8 = &pool_bytes<uint8_t>, .max_s8 = &pool_bytes<int8_t>};

}  // namespace cameo::cpu::CAMEO_ISA
