// Sums over contiguous elements, kept in eight partial sums: they can be computed side by side, and the rounding error
// grows more slowly than that of one running sum.
#pragma once

#include <cstdint>

#include "base/numeric.h"

namespace cameo::ops {

// The sum of f(x[i]); f takes and gives C.
template <class C, class T, class F>
C sum_of(const T* x, int64_t n, F f) {
  C lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j) lanes[j] += f(static_cast<C>(x[i + j]));
  for (; i < n; ++i) lanes[i & 7] += f(static_cast<C>(x[i]));
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

template <class C, class T>
C sum_of(const T* x, int64_t n) {
  return sum_of<C>(x, n, [](C v) { return v; });
}

// The sum of x[i] * y[i].
template <class C, class T, class U>
C dot(const T* x, const U* y, int64_t n) {
  C lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j) lanes[j] += static_cast<C>(x[i + j]) * static_cast<C>(y[i + j]);
  for (; i < n; ++i) lanes[i & 7] += static_cast<C>(x[i]) * static_cast<C>(y[i]);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// y[i] += a * x[i]
template <class C, class T>
void add_scaled(C a, const T* x, C* y, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j) y[i + j] += a * static_cast<C>(x[i + j]);
  for (; i < n; ++i) y[i] += a * static_cast<C>(x[i]);
}

}  // namespace cameo::ops
