// A vector holds channels of one pixel. A run of neighbouring output pixels of a row keeps its sums in registers while the
// kernel's rows are taken in turn:
//   windows 3, 5 and 7 wide, stride 1 and 2, no dilation   each input pixel is loaded once for all the taps it meets
//   others                                                 it is loaded for each tap
// Runs that touch the padding skip the pixels that are not there. Where a row's last channels do not fill a vector, loads
// and stores are masked.
#include "backends/cpu/kernels/depthwise_f32.h"

#include "backends/cpu/kernels/tile_epilogue.isa.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

// The lanes of a vector that are channels.
struct Lanes {
  int64_t count;
#if defined(__AVX512F__)
  __mmask16 mask;
#endif
};
CAMEO_INLINE Lanes lanes_of(int64_t left) {
  const int64_t count = left < kLanes ? left : kLanes;
#if defined(__AVX512F__)
  return {count, static_cast<__mmask16>((1u << count) - 1)};
#else
  return {count};
#endif
}
CAMEO_INLINE Vec load_lanes(const float* p, Lanes lanes) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps(lanes.mask, p);
#else
  return lanes.count == kLanes ? load(p) : load_part(p, lanes.count);
#endif
}
CAMEO_INLINE void store_lanes(float* p, Vec v, Lanes lanes) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, lanes.mask, (__m512)v);
#else
  if (lanes.count == kLanes)
    store(p, v);
  else
    store_part(p, v, lanes.count);
#endif
}

// Where a run of output pixels begins.
struct Run {
  const float* x;       // under the first tap of the first pixel and the first kernel row that is used; outside of the image maybe
  const float* w;       // of that kernel row
  int64_t kernel_rows;  // that are used
  int64_t ix;           // the column of x
  int64_t offset;       // of the first pixel in y, in floats
};

template <int Pixels>
CAMEO_INLINE void finish(const DepthwiseRows& d, const Run& run, int64_t channel, Lanes lanes, Vec (&sums)[Pixels]) {
  const TileEpilogue& e = d.epilogue;
  const int64_t offset = run.offset + channel;
  if (e.bias != nullptr) {
    const Vec bias = load_lanes(e.bias + channel, lanes);
    for (int t = 0; t < Pixels; ++t) sums[t] += bias;
  }
  if (e.residual != nullptr)
    for (int t = 0; t < Pixels; ++t) sums[t] += load_lanes(e.residual + offset + t * d.pixel_step, lanes);
  activate(e, sums);
  for (int t = 0; t < Pixels; ++t) store_lanes(d.y + offset + t * d.pixel_step, sums[t], lanes);
}

template <int Width, int Stride, int Pixels, bool Edge>
CAMEO_INLINE void run_vector(const DepthwiseRows& d, const Run& run, int64_t channel) {
  const Lanes lanes = lanes_of(d.channels - channel);
  Vec sums[Pixels];
  for (int t = 0; t < Pixels; ++t) sums[t] = Vec{};
  const float *x = run.x + channel, *w = run.w + channel;
  const int64_t row_step = d.dilation_height * d.in_width * d.pixel_step;
  for (int64_t k = 0; k < run.kernel_rows; ++k, x += row_step, w += Width * d.weight_step) {
    Vec weights[Width];
    for (int i = 0; i < Width; ++i) weights[i] = load(w + i * d.weight_step);
    const float* at = x;
    constexpr int kReach = (Pixels - 1) * Stride + Width;
#pragma GCC unroll 32
    for (int i = 0; i < kReach; ++i, at += d.pixel_step) {
      if (Edge && static_cast<uint64_t>(run.ix + i) >= static_cast<uint64_t>(d.in_width)) continue;
      const Vec v = load_lanes(at, lanes);
#pragma GCC unroll 16
      for (int t = 0; t < Pixels; ++t)
        if (i >= t * Stride && i < t * Stride + Width) sums[t] = fma(v, weights[i - t * Stride], sums[t]);
    }
  }
  finish(d, run, channel, lanes, sums);
}

// Channels [first, last) of a run.
template <int Width, int Stride, int Pixels, bool Edge>
__attribute__((noinline)) void run_fixed(const DepthwiseRows& d, const Run& run, int64_t first, int64_t last) {
  for (int64_t channel = first; channel < last; channel += kLanes) run_vector<Width, Stride, Pixels, Edge>(d, run, channel);
}

// Any window.
template <int Pixels>
CAMEO_INLINE void run_any_vector(const DepthwiseRows& d, const Run& run, int64_t channel) {
  const Lanes lanes = lanes_of(d.channels - channel);
  Vec sums[Pixels];
  for (int t = 0; t < Pixels; ++t) sums[t] = Vec{};
  const float *x = run.x + channel, *w = run.w + channel;
  const int64_t row_step = d.dilation_height * d.in_width * d.pixel_step, step = d.stride_width * d.pixel_step;
  const bool inside = run.ix >= 0 && run.ix + (Pixels - 1) * d.stride_width + (d.kernel_width - 1) * d.dilation_width < d.in_width;
  for (int64_t k = 0; k < run.kernel_rows; ++k, x += row_step) {
    const float* at = x;
    for (int64_t i = 0; i < d.kernel_width; ++i, at += d.dilation_width * d.pixel_step, w += d.weight_step) {
      const Vec weight = load(w);
      if (inside) {
        for (int t = 0; t < Pixels; ++t) sums[t] = fma(load_lanes(at + t * step, lanes), weight, sums[t]);
      } else {
        for (int t = 0; t < Pixels; ++t)
          if (static_cast<uint64_t>(run.ix + i * d.dilation_width + t * d.stride_width) < static_cast<uint64_t>(d.in_width))
            sums[t] = fma(load_lanes(at + t * step, lanes), weight, sums[t]);
      }
    }
  }
  finish(d, run, channel, lanes, sums);
}

template <int Pixels>
__attribute__((noinline)) void run_any(const DepthwiseRows& d, const Run& run, int64_t first, int64_t last) {
  for (int64_t channel = first; channel < last; channel += kLanes) run_any_vector<Pixels>(d, run, channel);
}

using Function = void (*)(const DepthwiseRows&, const Run&, int64_t, int64_t);
struct Functions {
  Function inner[4], edge[4];  // runs of 8, 7, 4 and 1 pixels
};
template <int Width, int Stride>
constexpr Functions kFixed = {
    {&run_fixed<Width, Stride, 8, false>, &run_fixed<Width, Stride, 7, false>, &run_fixed<Width, Stride, 4, false>, &run_any<1>},
    {&run_fixed<Width, Stride, 8, true>, &run_fixed<Width, Stride, 7, true>, &run_fixed<Width, Stride, 4, true>, &run_any<1>}};
constexpr Functions kAny = {{&run_any<8>, &run_any<7>, &run_any<4>, &run_any<1>}, {&run_any<8>, &run_any<7>, &run_any<4>, &run_any<1>}};

const Functions& functions_for(const DepthwiseRows& d) {
  if (d.dilation_width == 1 && d.stride_width == 1) {
    if (d.kernel_width == 3) return kFixed<3, 1>;
    if (d.kernel_width == 5) return kFixed<5, 1>;
    if (d.kernel_width == 7) return kFixed<7, 1>;
  } else if (d.dilation_width == 1 && d.stride_width == 2) {
    if (d.kernel_width == 3) return kFixed<3, 2>;
    if (d.kernel_width == 5) return kFixed<5, 2>;
    if (d.kernel_width == 7) return kFixed<7, 2>;
  }
  return kAny;
}

void run(const DepthwiseRows& d) {
  constexpr int64_t kPixels[] = {8, 7, 4, 1};
  const Functions& functions = functions_for(d);
  const int64_t reach = (d.kernel_width - 1) * d.dilation_width;
  const bool sevens = d.out_width % 8 != 0 && (d.out_width % 7 == 0 || d.out_width % 8 == 7);
  // As many channels at a time as keep the input rows that neighbouring output rows share in the first cache.
  constexpr int64_t kCachedFloats = 6 << 10;
  int64_t block = kCachedFloats / (d.kernel_height * d.in_width) / kLanes * kLanes;
  if (block < kLanes) block = kLanes;
  for (int64_t channel = 0; channel < d.channels; channel += block) {
    const int64_t last = channel + block < d.channels ? channel + block : d.channels;
    for (int64_t oy = d.first_row; oy < d.last_row; ++oy) {
      // The kernel rows whose input row is there.
      const int64_t top = oy * d.stride_height - d.pad_top;
      int64_t k0 = top >= 0 ? 0 : (-top + d.dilation_height - 1) / d.dilation_height;
      int64_t k1 = top >= d.in_height ? 0 : (d.in_height - 1 - top) / d.dilation_height + 1;
      if (k1 > d.kernel_height) k1 = d.kernel_height;
      if (k0 > k1) k0 = k1;
      Run r;
      r.w = d.w + k0 * d.kernel_width * d.weight_step;
      r.kernel_rows = k1 - k0;
      const float* line = d.x + (top + k0 * d.dilation_height) * d.in_width * d.pixel_step;
      for (int64_t ox = 0; ox < d.out_width;) {
        const int64_t left = d.out_width - ox;
        const int size = sevens && left >= 7 && (left % 8 == 7 || left % 7 == 0) ? 1 : left >= 8 ? 0 : left == 7 ? 1 : left >= 4 ? 2 : 3;
        r.ix = ox * d.stride_width - d.pad_left;
        r.x = line + r.ix * d.pixel_step;
        r.offset = (oy * d.out_width + ox) * d.pixel_step;
        const bool inside = r.ix >= 0 && r.ix + (kPixels[size] - 1) * d.stride_width + reach < d.in_width;
        (inside ? functions.inner : functions.edge)[size](d, r, channel, last);
        ox += kPixels[size];
      }
    }
  }
}

}  // namespace

extern const DepthwiseKernels depthwise_f32_kernels = {.run = &run};

}  // namespace cameo::cpu::CAMEO_ISA
