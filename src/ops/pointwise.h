// Loops for operators that work element by element, with broadcasting.
#pragma once

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

// y[i] = f(x[i]) over tensors of T and R; f takes and gives the types that T and R are computed in.
template <class T, class R, class F>
void map_unary(const Tensor& x, Tensor& y, F f) {
  const T* from = x.data<T>();
  R* to = y.data<R>();
  const int64_t n = y.num_elements();
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(f(static_cast<compute_t<T>>(from[i])));
}

// z = f(a, b) with broadcasting. Rows along the last extent are plain loops, so the compiler can vectorise them.
template <class T, class R, class F>
void map_binary(const Tensor& a, const Tensor& b, Tensor& z, F f) {
  using C = compute_t<T>;
  const auto apply = [&f](const T& x, const T& y) { return static_cast<R>(f(static_cast<C>(x), static_cast<C>(y))); };
  const T* pa = a.data<T>();
  const T* pb = b.data<T>();
  R* pz = z.data<R>();
  const int64_t n = z.num_elements();
  if (n == 0) return;
  if (a.dims() == b.dims()) {
    for (int64_t i = 0; i < n; ++i) pz[i] = apply(pa[i], pb[i]);
    return;
  }
  if (b.num_elements() == 1) {
    for (int64_t i = 0; i < n; ++i) pz[i] = apply(pa[i], pb[0]);
    return;
  }
  if (a.num_elements() == 1) {
    for (int64_t i = 0; i < n; ++i) pz[i] = apply(pa[0], pb[i]);
    return;
  }
  Dims rows = z.dims();
  const int64_t inner = rows.back();
  Dims sa = broadcast_strides(a.dims(), z.dims()), sb = broadcast_strides(b.dims(), z.dims());
  const int64_t step_a = sa.back(), step_b = sb.back();
  rows.erase(rows.rank() - 1);
  sa.erase(sa.rank() - 1);
  sb.erase(sb.rank() - 1);
  for_each_offset(rows, {&sa, &sb}, [&](const int64_t* offset) {
    const T* x = pa + offset[0];
    const T* y = pb + offset[1];
    if (step_a && step_b)
      for (int64_t i = 0; i < inner; ++i) pz[i] = apply(x[i], y[i]);
    else if (step_a)
      for (int64_t i = 0; i < inner; ++i) pz[i] = apply(x[i], y[0]);
    else if (step_b)
      for (int64_t i = 0; i < inner; ++i) pz[i] = apply(x[0], y[i]);
    else
      for (int64_t i = 0; i < inner; ++i) pz[i] = apply(x[0], y[0]);
    pz += inner;
  });
}

}  // namespace cameo::ops
