// 0.5 x (1 + erf(x / sqrt 2)) for results of 16 bits and fewer, within 3.1e-6.
#pragma once

namespace cameo::cuda {

// 2^p(x) with which it is x / (1 + 2^p(x)): p is x times a polynomial of x^2, fitted to log2(Phi(-x) / Phi(x)) so that the greatest
// error of the whole is least.
__device__ __forceinline__ float gelu_power(float x) {
  const float s = x * x;
  float q = -3.228996055e-6f, p = 0;
  q = fmaf(q, s, 8.823825744e-5f);
  q = fmaf(q, s, 3.602739161e-4f);
  q = fmaf(q, s, -1.052266868e-1f);
  q = fmaf(q, s, -2.302045391f);
  // Products of two of them stay finite.
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(p) : "f"(fminf(x * q, 60.f)));
  return p;
}

// Of two numbers, with one division.
__device__ __forceinline__ void gelu_pair(float& x, float& y) {
  const float a = 1.f + gelu_power(x), b = 1.f + gelu_power(y);
  float r = 0;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a * b));
  x *= r * b, y *= r * a;
}

}  // namespace cameo::cuda
