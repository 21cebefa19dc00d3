// Every lane is a column, so sums over the rows of a group need no reduction.
#include "backends/cpu/kernels/weight_rounding.h"

#include "backends/cpu/simd/bytes.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

// To the nearest integer, for |x| < 2^22.
CAMEO_INLINE Vec nearest(Vec x) { return x + splat(12582912.f) - splat(12582912.f); }
CAMEO_INLINE Vec magnitude(Vec x) { return as_float(as_int(x) & splat_i(0x7fffffff)); }
CAMEO_INLINE Vec inverse(Vec scale) { return select(scale == Vec{}, Vec{}, splat(1.f) / scale); }

CAMEO_INLINE void choose_column_scales(const WeightRounding& r, int column) {
  Vec largest = {};  // the weight of greatest magnitude, with its sign
  for (int64_t k = 0; k < r.rows; ++k) {
    const Vec w = load(r.weights + k * 16 + column);
    largest = select(magnitude(w) > magnitude(largest), w, largest);
  }
  if (r.bits == 8) return store(r.scales + column, magnitude(largest) / splat(127.f));
  Vec best_scale = largest / splat(-8.f), best_gain = {};
  // With q fixed, the scale sum(w q) / sum(q q) leaves the error sum(w w) - sum(w q)^2 / sum(q q).
  for (int step = 0; step < 12; ++step) {
    const Vec factor = inverse(largest) * splat(-(6.4f + 0.2f * static_cast<float>(step)));
    Vec products = {}, squares = {};
    for (int64_t k = 0; k < r.rows; ++k) {
      const Vec w = load(r.weights + k * 16 + column);
      const Vec q = vmin(vmax(nearest(w * factor), splat(-8.f)), splat(7.f));
      products = fma(w, q, products);
      squares = fma(q, q, squares);
    }
    const Vec scale = products * inverse(squares), gain = products * scale;
    const VecI better = gain > best_gain;
    best_gain = select(better, gain, best_gain);
    best_scale = select(better, scale, best_scale);
  }
  store(r.scales + column, best_scale);
}

void choose_scales(const WeightRounding& r) {
  for (int column = 0; column < 16; column += kLanes) choose_column_scales(r, column);
}

void round(const WeightRounding& r) {
  const Vec zero = splat(r.bits == 4 ? 8.f : 128.f), low = splat(r.bits == 4 ? -8.f : -127.f), high = splat(r.bits == 4 ? 7.f : 127.f);
  for (int column = 0; column < 16; column += kLanes) {
    const Vec factor = inverse(load(r.scales + column));
    for (int64_t k = 0; k < r.rows; ++k) {
      const Vec q = vmin(vmax(nearest(vmin(vmax(load(r.weights + k * 16 + column) * factor, splat(-1024.f)), splat(1024.f))), low), high);
      store_low_bytes(r.codes + k * 16 + column, truncate(q + zero));
    }
  }
}

}  // namespace

const WeightRoundingKernels weight_rounding_kernels = {.choose_scales = &choose_scales, .round = &round};

}  // namespace cameo::cpu::CAMEO_ISA
