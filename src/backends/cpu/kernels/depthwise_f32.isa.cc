// A vector holds channels of one pixel. A run of neighbouring output pixels of a row keeps its sums in registers while the
// kernel's rows are taken in turn:
//   windows 3, 5 and 7 wide, stride 1 and 2, no dilation   each input pixel is loaded once for all the taps it meets
//   others                                                 it is loaded for each tap
// Runs that touch the padding skip the pixels that are not there. Where a row's last channels do not fill a vector, loads
// and stores are masked.
#include "backends/cpu/kernels/channel_runs.isa.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

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

void run(const DepthwiseRows& d) { for_each_run(d, functions_for(d)); }

}  // namespace

extern const DepthwiseKernels depthwise_f32_kernels = {.run = &run};

}  // namespace cameo::cpu::CAMEO_ISA
