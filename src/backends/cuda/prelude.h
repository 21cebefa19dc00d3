// What generated kernels begin with.
#pragma once

namespace cameo::cuda {

inline constexpr const char* kPrelude = R"cuda(
#ifdef __HIP__
#pragma clang force_cuda_host_device begin
#define __grid_constant__
#define __shfl_xor_sync(mask, value, lanes) __shfl_xor(value, lanes, 32)
#define __shfl_up_sync(mask, value, lanes) __shfl_up(value, lanes, 32)
#endif
typedef signed char i8; typedef unsigned char u8; typedef short i16; typedef unsigned short u16;
typedef unsigned int u32; typedef long long i64; typedef unsigned long long u64;
struct f16 { u16 b; }; struct bf16 { u16 b; };
struct f16n { u16 b; }; struct bf16n { u16 b; };
template <int B, bool S> struct small { u8 b; };
template <class T, int N> struct alignas(sizeof(T) * N) Vec { T v[N]; };

#ifdef __HIP__
inline float get(f16 x) { return (float)__builtin_bit_cast(_Float16, x.b); }
inline u16 half_bits(float x) { return __builtin_bit_cast(u16, (_Float16)x); }
inline u16 half_bits(double x) { return __builtin_bit_cast(u16, (_Float16)x); }
#else
inline float get(f16 x) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.b)); return r; }
inline u16 half_bits(float x) { u16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x)); return r; }
inline u16 half_bits(double x) { u16 r; asm("cvt.rn.f16.f64 %0, %1;" : "=h"(r) : "d"(x)); return r; }
#endif
inline float get(f16n x) { f16 y; y.b = x.b; return get(y); }
inline float get(bf16 x) { return __uint_as_float((u32)x.b << 16); }
inline float get(bf16n x) { return __uint_as_float((u32)x.b << 16); }
template <int B, bool S> inline int get(small<B, S> x) { return S ? (int)(i8)x.b : (int)x.b; }
template <class T> inline T get(T x) { return x; }
inline bool get(bool x) { return *(u8*)&x != 0; }

inline u16 bfloat_bits(float x) {
  u32 u = __float_as_uint(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (u16)((u >> 16) | 0x40);
  return (u16)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
// A double as the float that, rounded once more, gives what rounding it once would.
inline float odd(double d) {
  float f = (float)d;
  if ((double)f == d || d != d || isinf(f)) return f;
  u32 u = __float_as_uint(f);
  if (fabs((double)f) > fabs(d)) u -= 1;
  return __uint_as_float(u | 1);
}
template <class C> inline void put(f16& y, C x) { y.b = half_bits((float)x); }
inline void put(f16& y, double x) { y.b = half_bits(x); }
template <class C> inline void put(bf16& y, C x) { y.b = bfloat_bits((float)x); }
inline void put(bf16& y, double x) { y.b = bfloat_bits(odd(x)); }
template <class C> inline void put(f16n& y, C x) { float f = (float)x; y.b = half_bits(f != f ? f : fminf(fmaxf(f, -65504.f), 65504.f)); }
template <class C> inline void put(bf16n& y, C x) { float f = (float)x; y.b = bfloat_bits(f != f ? f : fminf(fmaxf(f, -3.38953139e38f), 3.38953139e38f)); }
template <int B, bool S, class C> inline void put(small<B, S>& y, C x) {
  int v = (int)x & ((1 << B) - 1);
  y.b = (u8)(S && (v >> (B - 1)) ? v - (1 << B) : v);
}
template <class T, class C> inline void put(T& y, C x) { y = (T)x; }

// Floats to integers: not a number gives 0; what 64 bits cannot hold becomes the nearest; narrower types keep the low bits,
// 32-bit ones take their own nearest.
inline i64 cut(double x) { return x != x ? 0 : x >= 9223372036854775808.0 ? 9223372036854775807ll : x < -9223372036854775808.0 ? (-9223372036854775807ll - 1) : (i64)x; }
template <class T> struct Cut { static T of(double x) { return (T)cut(x); } };
template <> struct Cut<int> { static int of(double x) { i64 c = cut(x); return c > 2147483647ll ? 2147483647 : c < -2147483648ll ? (-2147483647 - 1) : (int)c; } };
template <> struct Cut<u64> { static u64 of(double x) { return x >= 18446744073709551616.0 ? 18446744073709551615ull : x >= 9223372036854775808.0 ? (u64)x : (u64)cut(x); } };

inline float as_bits(u32 u) { return __uint_as_float(u); }
template <class T> inline bool is_nan(T x) { return x != x; }
template <class T> inline T least(T a, T b) { return is_nan(a) || is_nan(b) ? a + b : (b < a ? b : a); }
template <class T> inline T most(T a, T b) { return is_nan(a) || is_nan(b) ? a + b : (a < b ? b : a); }
inline float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
inline double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
inline float softplus(float x) { return fmaxf(x, 0.f) + log1pf(expf(-fabsf(x))); }
inline double softplus(double x) { return fmax(x, 0.0) + log1p(exp(-fabs(x))); }
template <class T> inline T int_pow(T a, i64 e) {
  if (e < 0) return a == 1 ? (T)1 : a == (T)-1 ? (e & 1 ? (T)-1 : (T)1) : (T)0;
  T r = 1;
  for (; e; e >>= 1) { if (e & 1) r *= a; a *= a; }
  return r;
}
// The error function for results of 16 bits, within 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
inline float erf16(float x) {
  const float a = fabsf(x), t = __fdividef(1.f, 1.f + 0.3275911f * a);
  const float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
  return copysignf(1.f - p * __expf(-a * a), x);
}
// 0.5 x (1 + erf(x / sqrt 2)) for results of 16 bits, within 3.1e-6: see kernels/gelu.cuh.
inline float gelu16(float x) {
  const float s = x * x;
  const float q = (((-3.228996055e-6f * s + 8.823825744e-5f) * s + 3.602739161e-4f) * s - 1.052266868e-1f) * s - 2.302045391f;
  return __fdividef(x, 1.f + exp2f(fminf(x * q, 120.f)));
}
// Reductions over a warp and a block of whole warps; every thread gets the result.
template <class T, class F> inline T warp_reduce(T x, F f) {
  for (int m = 16; m; m >>= 1) x = f(x, __shfl_xor_sync(0xffffffffu, x, m));
  return x;
}
template <class T, class F> inline T block_reduce(T x, F f) {
  __shared__ T part[32];
  x = warp_reduce(x, f);
  int warps = blockDim.x >> 5;
  if (warps == 1) return x;
  __syncthreads();
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = x;
  __syncthreads();
  T r = part[0];
  for (int w = 1; w < warps; ++w) r = f(r, part[w]);
  return r;
}
struct Plus { template <class T> T operator()(T a, T b) const { return a + b; } };
struct Most { template <class T> T operator()(T a, T b) const { return most(a, b); } };
struct Least { template <class T> T operator()(T a, T b) const { return least(a, b); } };
struct Times { template <class T> T operator()(T a, T b) const { return a * b; } };
)cuda";

// Which node met an index out of range, at an address of the host.
inline constexpr const char* kReports =
    "inline void fault(i64 number, i64 at, i64 index) { volatile i64* f = (volatile i64*)at; if (f) { f[1] = index; f[0] = number; } }\n";
inline constexpr const char* k32BitIndices =
    "typedef int I;\n#define DIVIDE(n, d, m) ((int)((__umulhi((u32)(n), (u32)(m)) + (u32)(n)) >> (int)((m) >> 32)))\n";
// Lets the next kernel start, and waits for the one before.
inline constexpr const char* kDependentStart =
    "  asm volatile(\"griddepcontrol.launch_dependents;\" ::: \"memory\");\n  asm volatile(\"griddepcontrol.wait;\" ::: \"memory\");\n";

// Added where a kernel has elements of 8 or 4 bits that are no integers. K: 0 as E4M3FN (no infinity, NaN is 0x7f), 1 as the FNUZ
// formats (no infinity, no negative zero, NaN is 0x80), 2 as IEEE.
inline constexpr const char* kSmallFloats = R"cuda(
struct Code { u8 b; };
// The code of the small float nearest to a, without regard to overflow; ties go to the even one.
template <int M, int BIAS> inline u32 round_code(float a) {
  if (!(a >= scalbnf(1.f, 1 - BIAS))) return (u32)rintf(scalbnf(a, M + BIAS - 1));
  u32 u = __float_as_uint(a);
  u += (1u << (22 - M)) - 1 + (u >> (23 - M) & 1);
  return (u >> (23 - M)) - ((127 - BIAS) << M);
}
inline float one_float(float x) { return x; }
inline float one_float(double x) { return odd(x); }
template <class C> inline float one_float(C x) { return odd((double)x); }

template <int M, int BIAS, int K> struct f8 {
  u8 b;
  static Code code(float x, bool saturate) {
    const u32 largest = K == 1 ? 0x7f : K == 2 ? 0x7b : 0x7e, sign = __float_as_uint(x) >> 24 & 0x80,
              nan = K == 1 ? 0x80 : K == 2 ? sign | 0x7e : sign | 0x7f;
    Code r;
    if (x != x) { r.b = (u8)nan; return r; }
    const u32 c = isinf(x) ? 0xff : round_code<M, BIAS>(fabsf(x));
    r.b = (u8)(c > largest ? (saturate ? sign | largest : K == 2 ? sign | 0x7c : nan) : K == 1 && c == 0 ? 0 : sign | c);
    return r;
  }
};
template <int M, int BIAS, int K> inline float get(f8<M, BIAS, K> x) {
  const u32 c = x.b & 0x7f;
  if (K == 1 ? x.b == 0x80 : K == 2 ? c > 0x7c : c == 0x7f) return __uint_as_float(0x7fc00000u);
  const float a = K == 2 && c == 0x7c ? __uint_as_float(0x7f800000u)
                  : c >> M            ? __uint_as_float((c << (23 - M)) + ((u32)(127 - BIAS) << 23))
                                      : scalbnf((float)c, 1 - BIAS - M);
  return x.b & 0x80 ? -a : a;
}
template <int M, int BIAS, int K, class C> inline void put(f8<M, BIAS, K>& y, C x) { y.b = f8<M, BIAS, K>::code(one_float(x), true).b; }
template <int M, int BIAS, int K> inline void put(f8<M, BIAS, K>& y, Code x) { y.b = x.b; }

struct f4 { u8 b; };
inline float get(f4 x) {
  const u32 c = x.b & 7;
  const float a = c < 2 ? 0.5f * (float)c : __uint_as_float((c << 22) + (126u << 23));
  return x.b & 8 ? -a : a;
}
template <class C> inline void put(f4& y, C v) {
  const float x = one_float(v);
  const u32 sign = x != x ? 8 : __float_as_uint(x) >> 28 & 8, c = x != x ? 0 : isinf(x) ? 7 : round_code<1, 1>(fabsf(x));
  y.b = (u8)(sign | (c > 7 ? 7 : c));
}

struct e8m0 {
  u8 b;
  // rounding: 0 up, 1 down, 2 to the nearest, halves up
  static Code code(float x, bool saturate, int rounding) {
    const u32 below = saturate ? 0 : 0xff, above = saturate ? 0xfe : 0xff, u = __float_as_uint(x) & 0x7fffffffu;
    Code r;
    if (u >= 0x7f800000u) { r.b = (u8)(u > 0x7f800000u ? 0xff : above); return r; }
    if (u < 0x400000u) { r.b = (u8)below; return r; }
    u32 c = u >> 23, rest = u & 0x7fffffu;
    if (c == 0) rest = (u - 0x400000u) << 1;
    if (rounding == 0 ? rest > 0 : rounding == 2 && rest >= 0x400000u) ++c;
    r.b = (u8)(c > 0xfe ? above : c);
    return r;
  }
};
inline float get(e8m0 x) { return __uint_as_float(x.b == 0xff ? 0x7fc00000u : x.b == 0 ? 0x400000u : (u32)x.b << 23); }
template <class C> inline void put(e8m0& y, C x) { y.b = e8m0::code(one_float(x), true, 0).b; }
inline void put(e8m0& y, Code x) { y.b = x.b; }
)cuda";

}  // namespace cameo::cuda
