// A vector holds output channels of one pixel. For each input channel of a group its element is brought to all lanes of that
// group, by a permutation of the pixel's vector, or a broadcast where a group fills vectors; it is then used for all taps of
// a kernel row that it meets. Else the runs are those of the depthwise convolution:
//   windows 3 wide, stride 1 and 2, no dilation   as above
//   others                                        an element is permuted for each tap
#include "backends/cpu/kernels/channel_runs.isa.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

// Brings element `channel` of each group to the group's lanes, of the pixel at x; the first lane is output `first`.
struct Spread {
  int64_t base;  // from the first lane's output to the input that a broadcast takes
  VecI lanes;    // for channel 0

  Spread(int64_t group_channels, int64_t first) : base(-(first % group_channels)) {
    for (int i = 0; i < kLanes; ++i) lanes[i] = static_cast<int32_t>(i - i % group_channels);
  }
  CAMEO_INLINE Vec get(const Spread& s, const float* x, int64_t group_channels, int64_t channel, Lanes valid) {
    if (kLanes < 16 && group_channels >= kLanes) return splat(x[s.base + channel]);
    const VecI index = s.lanes + splat_i(static_cast<int32_t>(channel));
#if defined(__AVX512F__)
    return (Vec)_mm512_maskz_permutexvar_ps(valid.mask, (__m512i)index, (__m512)load_lanes(x, valid));
#elif defined(__AVX2__)
    return (Vec)_mm256_permutevar8x32_ps((__m256)load_lanes(x, valid), (__m256i)index);
#else
    Vec v = {};
    for (int i = 0; i < valid.count; ++i) v[i] = x[index[i]];
    return v;
#endif
  }
};

// Two vectors of channels where registers allow: each sum waits for the one before it, and eight are too few to keep the
// processor busy meanwhile.
constexpr int kMostVectors = kVectorRegisters == 32 ? 2 : 1;

template <int Width, int Stride, int Pixels, bool Edge, int Vectors>
CAMEO_INLINE void run_vectors(const DepthwiseRows& d, const Run& run, int64_t channel) {
  const Lanes lanes = lanes_of(d.channels - channel - (Vectors - 1) * kLanes);  // of the last vector
  const Spread spread(d.group_channels, channel);
  Vec sums[Vectors][Pixels];
#pragma GCC unroll 2
  for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 8
    for (int t = 0; t < Pixels; ++t) sums[v][t] = Vec{};
  const float *x = run.x + channel, *w = run.w + channel;
  const int64_t row_step = d.dilation_height * d.in_width * d.pixel_step, tap_step = d.group_channels * d.weight_step;
  for (int64_t k = 0; k < run.kernel_rows; ++k, x += row_step, w += Width * tap_step)
    for (int64_t c = 0; c < d.group_channels; ++c) {
      Vec weights[Vectors][Width];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 8
        for (int i = 0; i < Width; ++i) weights[v][i] = load(w + i * tap_step + c * d.weight_step + v * kLanes);
      const float* at = x;
      constexpr int kReach = (Pixels - 1) * Stride + Width;
#pragma GCC unroll 32
      for (int i = 0; i < kReach; ++i, at += d.pixel_step) {
        if (Edge && static_cast<uint64_t>(run.ix + i) >= static_cast<uint64_t>(d.in_width)) continue;
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
          const Vec y = Spread::get(spread, at + v * kLanes, d.group_channels, c, v + 1 < Vectors ? lanes_of(kLanes) : lanes);
#pragma GCC unroll 16
          for (int t = 0; t < Pixels; ++t)
            if (i >= t * Stride && i < t * Stride + Width) sums[v][t] = fma(y, weights[v][i - t * Stride], sums[v][t]);
        }
      }
    }
#pragma GCC unroll 2
  for (int v = 0; v < Vectors; ++v) finish(d, run, channel + v * kLanes, v + 1 < Vectors ? lanes_of(kLanes) : lanes, sums[v]);
}

template <int Width, int Stride, int Pixels, bool Edge>
__attribute__((noinline)) void run_fixed(const DepthwiseRows& d, const Run& run, int64_t first, int64_t last) {
  int64_t channel = first;
  for (; channel + (kMostVectors - 1) * kLanes < last; channel += kMostVectors * kLanes)
    run_vectors<Width, Stride, Pixels, Edge, kMostVectors>(d, run, channel);
  if (kMostVectors > 1 && channel < last) run_vectors<Width, Stride, Pixels, Edge, 1>(d, run, channel);
}

// Any window.
template <int Pixels>
__attribute__((noinline)) void run_any(const DepthwiseRows& d, const Run& run, int64_t first, int64_t last) {
  const int64_t row_step = d.dilation_height * d.in_width * d.pixel_step, step = d.stride_width * d.pixel_step;
  for (int64_t channel = first; channel < last; channel += kLanes) {
    const Lanes lanes = lanes_of(d.channels - channel);
    const Spread spread(d.group_channels, channel);
    Vec sums[Pixels];
    for (int t = 0; t < Pixels; ++t) sums[t] = Vec{};
    const float *x = run.x + channel, *w = run.w + channel;
    for (int64_t k = 0; k < run.kernel_rows; ++k, x += row_step) {
      const float* at = x;
      for (int64_t i = 0; i < d.kernel_width; ++i, at += d.dilation_width * d.pixel_step)
        for (int64_t c = 0; c < d.group_channels; ++c, w += d.weight_step) {
          const Vec weight = load(w);
          for (int t = 0; t < Pixels; ++t)
            if (static_cast<uint64_t>(run.ix + i * d.dilation_width + t * d.stride_width) < static_cast<uint64_t>(d.in_width))
              sums[t] = fma(Spread::get(spread, at + t * step, d.group_channels, c, lanes), weight, sums[t]);
        }
    }
    finish(d, run, channel, lanes, sums);
  }
}

template <int Width, int Stride>
constexpr Functions kFixed = {
    {&run_fixed<Width, Stride, 8, false>, &run_fixed<Width, Stride, 7, false>, &run_fixed<Width, Stride, 4, false>, &run_any<1>},
    {&run_fixed<Width, Stride, 8, true>, &run_fixed<Width, Stride, 7, true>, &run_fixed<Width, Stride, 4, true>, &run_any<1>}};
constexpr Functions kAny = {{&run_any<8>, &run_any<7>, &run_any<4>, &run_any<1>}, {&run_any<8>, &run_any<7>, &run_any<4>, &run_any<1>}};

void run(const DepthwiseRows& d) {
  if (d.kernel_width == 3 && d.dilation_width == 1 && d.stride_width == 1) return for_each_run(d, kFixed<3, 1>);
  if (d.kernel_width == 3 && d.dilation_width == 1 && d.stride_width == 2) return for_each_run(d, kFixed<3, 2>);
  for_each_run(d, kAny);
}

}  // namespace

extern const GroupedKernels grouped_f32_kernels = {.run = &run};

}  // namespace cameo::cpu::CAMEO_ISA
