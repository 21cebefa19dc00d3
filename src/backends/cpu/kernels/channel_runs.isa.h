// What depthwise and grouped convolutions share: runs of output pixels, the masks of a row's last channels, and the walk over
// rows. For .isa.cc files only.
#pragma once

#include "backends/cpu/kernels/depthwise_f32.h"
#include "backends/cpu/kernels/tile_epilogue.isa.h"

namespace cameo::cpu::CAMEO_ISA {

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

using Function = void (*)(const DepthwiseRows&, const Run&, int64_t, int64_t);
struct Functions {
  Function inner[4], edge[4];  // runs of 8, 7, 4 and 1 pixels
};
// Calls the functions for all runs of the rows.
CAMEO_INLINE void for_each_run(const DepthwiseRows& d, const Functions& functions) {
  constexpr int64_t kPixels[] = {8, 7, 4, 1};
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
      r.w = d.w + k0 * d.kernel_width * d.group_channels * d.weight_step;
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

}  // namespace cameo::cpu::CAMEO_ISA
