#include "backends/cpu/kernels/resize_f32.h"

#include "backends/cpu/simd/vec.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

CAMEO_INLINE Vec load_some(const float* p, int64_t n) { return n >= kLanes ? load(p) : load_part(p, n); }
CAMEO_INLINE void store_some(float* p, Vec v, int64_t n) {
  if (n >= kLanes)
    store(p, v);
  else
    store_part(p, v, n);
}

void sum_rows(const WeightedRows& r) {
  for (int64_t j = 0; j < r.count; j += kLanes) {
    const int64_t n = r.count - j;
    Vec sum = r.weights[0] * load_some(r.from + r.indices[0] * r.count + j, n);
    for (int64_t t = 1; t < r.taps; ++t)
      if (r.weights[t] != 0) sum = fma(splat(r.weights[t]), load_some(r.from + r.indices[t] * r.count + j, n), sum);
    store_some(r.to + j, sum, n);
  }
}

// v[index[i]] in lane i.
CAMEO_INLINE Vec permute(Vec v, VecI index) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)index, (__m512)v);
#elif defined(__AVX2__)
  return (Vec)_mm256_permutevar8x32_ps((__m256)v, (__m256i)index);
#else
  Vec r;
  for (int i = 0; i < kLanes; ++i) r[i] = v[index[i]];
  return r;
#endif
}

void sum_elements(const RowPlan& plan, const float* from, float* to) {
  for (int64_t block = 0; block < plan.blocks; ++block) {
    Vec sum = Vec{};
    for (int64_t t = 0; t < plan.taps; ++t) {
      const int64_t at = block * plan.taps + t, base = plan.bases[at];
      const Vec x = permute(load_some(from + base, plan.in - base), load_i(plan.offsets + at * kLanes));
      sum = t == 0 ? x * load(plan.weights + at * kLanes) : fma(x, load(plan.weights + at * kLanes), sum);
    }
    store_some(to + block * kLanes, sum, plan.out - block * kLanes);
  }
}

}  // namespace

extern const ResizeKernels resize_f32_kernels = {.lanes = kLanes, .sum_rows = &sum_rows, .sum_elements = &sum_elements};

}  // namespace cameo::cpu::CAMEO_ISA
