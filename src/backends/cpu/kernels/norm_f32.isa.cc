// Normalisations and softmax of rows, a row at a time: it is read from memory once and stays in the L1 cache for the passes
// that follow. Moments take two passes, so that a large mean does not swallow the variance. Sums have four vectors of
// partial sums, the same whatever the row's neighbours are.
#include "backends/cpu/kernels/norm_f32.h"

#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int kSums = 4;

// The sum of f(x) over a row. f gets vectors; what a part of a vector lacks counts as `missing` before f.
template <class F>
CAMEO_INLINE float sum_of(const float* x, int64_t n, float missing, F f) {
  Vec sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums * kLanes <= n; i += kSums * kLanes)
    for (int k = 0; k < kSums; ++k) sums[k] += f(load(x + i + k * kLanes));
  for (; i + kLanes <= n; i += kLanes) sums[0] += f(load(x + i));
  if (i < n) sums[1] += f(load_part_or(x + i, n - i, splat(missing)));
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

float mean_of(const float* x, int64_t n) {
  return sum_of(x, n, 0.f, [](Vec v) { return v; }) / static_cast<float>(n);
}
// The mean of (x - center)^2.
float variance_of(const float* x, int64_t n, float center) {
  const Vec c = splat(center);
  return sum_of(x, n, center, [c](Vec v) { return (v - c) * (v - c); }) / static_cast<float>(n);
}

// y[i] = f(x[i], i)
template <class F>
CAMEO_INLINE void map(int64_t n, float* y, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f([i](const float* p) { return load(p + i); }));
  if (i < n) store_part(y + i, f([i, n](const float* p) { return load_part(p + i, n - i); }), n - i);
}

void norm_rows(const NormRows& r) {
  for (int64_t row = 0; row < r.rows; ++row) {
    const float* x = r.x + row * r.n;
    float* y = r.y + row * r.n;
    const float mean = r.centered ? mean_of(x, r.n) : 0.f;
    const float inverse = 1.f / __builtin_sqrtf(variance_of(x, r.n, mean) + r.epsilon);
    const Vec m = splat(mean), f = splat(inverse);
    if (r.bias != nullptr)
      map(r.n, y, [&](auto at) { return (at(x) - m) * f * at(r.scale) + at(r.bias); });
    else
      map(r.n, y, [&](auto at) { return (at(x) - m) * f * at(r.scale); });
    if (r.mean != nullptr) r.mean[row] = mean;
    if (r.inverse != nullptr) r.inverse[row] = inverse;
  }
}

void norm_group(const NormGroup& g) {
  const int64_t n = g.channels * g.channel_size;
  const float mean = mean_of(g.x, n), inverse = 1.f / __builtin_sqrtf(variance_of(g.x, n, mean) + g.epsilon);
  for (int64_t k = 0; k < g.channels; ++k) {
    const Vec m = splat(mean), f = splat(inverse * g.scale[k * g.step]), b = splat(g.bias[k * g.step]);
    const float* x = g.x + k * g.channel_size;
    map(g.channel_size, g.y + k * g.channel_size, [&](auto at) { return (at(x) - m) * f + b; });
  }
}

void softmax_row(const SoftmaxRows& r) {
  const int64_t n = r.length;
  Vec best[kSums];
  for (Vec& v : best) v = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + kSums * kLanes <= n; i += kSums * kLanes)
    for (int k = 0; k < kSums; ++k) best[k] = vmax(load(r.x + i + k * kLanes), best[k]);
  for (; i + kLanes <= n; i += kLanes) best[0] = vmax(load(r.x + i), best[0]);
  const Vec infinity = splat(__builtin_inff());
  if (i < n) best[1] = vmax(load_part_or(r.x + i, n - i, -infinity), best[1]);
  const float largest = max_lane(vmax(vmax(best[0], best[1]), vmax(best[2], best[3])));

  const Vec m = splat(largest);
  Vec sums[2] = {};
  for (i = 0; i + 2 * kLanes <= n; i += 2 * kLanes)
    for (int k = 0; k < 2; ++k) {
      const Vec x = load(r.x + i + k * kLanes) - m, e = vexp(x);
      store(r.y + i + k * kLanes, r.logarithm ? x : e);
      sums[k] += e;
    }
  for (; i < n; i += kLanes) {
    const int64_t width = n - i;
    if (width >= kLanes) {
      const Vec x = load(r.x + i) - m, e = vexp(x);
      store(r.y + i, r.logarithm ? x : e);
      sums[0] += e;
    } else {
      const Vec x = load_part(r.x + i, width) - m, e = vexp(x);
      store_part(r.y + i, r.logarithm ? x : e, width);
      sums[1] += select(lane_numbers() < splat(static_cast<float>(width)), e, Vec{});
    }
  }
  const float total = sum(sums[0] + sums[1]);
  if (r.logarithm) {
    const Vec log_sum = splat(vlog(splat(total))[0]);
    map(n, r.y, [&](auto at) { return at(r.y) - log_sum; });
  } else {
    const Vec all = splat(total);
    map(n, r.y, [&](auto at) { return at(r.y) / all; });
  }
}

// Vectors of neighbours, each along the axis by itself. width <= kLanes
void softmax_columns(const SoftmaxRows& r, int64_t column, int64_t width) {
  const float* x = r.x + column;
  float* y = r.y + column;
  const auto read = [width](const float* p) { return width == kLanes ? load(p) : load_part(p, width); };
  const auto write = [width](float* p, Vec v) {
    if (width == kLanes)
      store(p, v);
    else
      store_part(p, v, width);
  };
  Vec largest = splat(-__builtin_inff());
  for (int64_t k = 0; k < r.length; ++k) largest = vmax(read(x + k * r.stride), largest);
  Vec total = {};
  for (int64_t k = 0; k < r.length; ++k) {
    const Vec d = read(x + k * r.stride) - largest, e = vexp(d);
    write(y + k * r.stride, r.logarithm ? d : e);
    total += e;
  }
  if (r.logarithm) total = vlog(total);
  for (int64_t k = 0; k < r.length; ++k) {
    const Vec v = read(y + k * r.stride);
    write(y + k * r.stride, r.logarithm ? v - total : v / total);
  }
}

void softmax(const SoftmaxRows& r) {
  if (r.stride == 1) return softmax_row(r);
  for (int64_t column = 0; column < r.columns; column += kLanes)
    softmax_columns(r, column, r.columns - column < kLanes ? r.columns - column : kLanes);
}

}  // namespace

extern const NormKernels norm_kernels = {.norm_rows = &norm_rows, .norm_group = &norm_group, .softmax = &softmax};

}  // namespace cameo::cpu::CAMEO_ISA
