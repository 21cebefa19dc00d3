// Number types that C++ 20 lacks: half, bfloat16, the 8-bit floats, and the 4- and 2-bit types.
// Each is a struct of raw bits with conversions from and to float; rounding is to nearest, ties to even.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "cameo/types.h"

namespace cameo {

// The float next to d whose last bit is odd, or d itself where a float holds it. Rounding that float to a type of fewer
// bits gives what rounding d would, unlike rounding d to the nearest float first.
float round_to_odd(double d);

struct Float16 {
  static constexpr DType kDType = DType::kFloat16;
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float f) : bits(from_float(f)) {}
  explicit Float16(double d) : bits(from_float(round_to_odd(d))) {}
  explicit operator float() const { return to_float(bits); }

  static uint16_t from_float(float f) {
    const uint32_t x = std::bit_cast<uint32_t>(f);
    const uint32_t sign = (x >> 16) & 0x8000, magnitude = x & 0x7fffffff;
    if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
    if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to infinity
    if (magnitude < 0x38800000) {                                              // subnormal or zero: let the float adder round at 2^-24
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
    }
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13));
  }
  static float to_float(uint16_t h) {
    const uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = (h >> 10) & 0x1f, mantissa = h & 0x3ff;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }
};

struct Bfloat16 {
  static constexpr DType kDType = DType::kBfloat16;
  uint16_t bits = 0;
  Bfloat16() = default;
  explicit Bfloat16(float f) {
    const uint32_t x = std::bit_cast<uint32_t>(f);
    bits = (x & 0x7fffffff) > 0x7f800000 ? static_cast<uint16_t>((x >> 16) | 0x40)
                                         : static_cast<uint16_t>((x + 0x7fff + ((x >> 16) & 1)) >> 16);
  }
  explicit Bfloat16(double d) : Bfloat16(round_to_odd(d)) {}
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

// How an 8-bit float spends its topmost codes.
enum class Float8Kind {
  kE4M3FN,    // no infinity; NaN is 0x7f
  kE4M3FNUZ,  // no infinity, no negative zero; NaN is 0x80
  kE5M2,      // as IEEE
  kE5M2FNUZ,  // no infinity, no negative zero; NaN is 0x80
  kE8M0,      // a power of two, unsigned, rounded up; NaN is 0xff
};

// How a value between two powers of two becomes one.
enum class E8M0Rounding { kUp, kDown, kNearest };  // kNearest: halfway goes up

// Code of the value nearest to f. Values beyond the largest finite one become it when `saturate`, else infinity
// or NaN as the format has (ONNX, operator Cast). NaN stays NaN. For kE8M0 see e8m0_from_float.
uint8_t float8_from_float(float f, Float8Kind kind, bool saturate);
// Code of |f| as a power of two, 2^-127 to 2^127. Values outside become the next end when `saturate`, else NaN;
// zero counts as below, infinity as above (ONNX, operator Cast).
uint8_t e8m0_from_float(float f, bool saturate, E8M0Rounding rounding);
float float8_to_float(uint8_t code, Float8Kind kind);

template <Float8Kind K, DType D>
struct Float8 {
  static constexpr DType kDType = D;
  static constexpr Float8Kind kKind = K;
  uint8_t bits = 0;
  Float8() = default;
  explicit Float8(float f, bool saturate = true) : bits(float8_from_float(f, K, saturate)) {}
  explicit operator float() const { return float8_to_float(bits, K); }
};
using Float8E4M3FN = Float8<Float8Kind::kE4M3FN, DType::kFloat8E4M3FN>;
using Float8E4M3FNUZ = Float8<Float8Kind::kE4M3FNUZ, DType::kFloat8E4M3FNUZ>;
using Float8E5M2 = Float8<Float8Kind::kE5M2, DType::kFloat8E5M2>;
using Float8E5M2FNUZ = Float8<Float8Kind::kE5M2FNUZ, DType::kFloat8E5M2FNUZ>;
using Float8E8M0 = Float8<Float8Kind::kE8M0, DType::kFloat8E8M0>;

// 1 sign, 2 exponent and 1 mantissa bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives. Saturates; NaN becomes -0.
struct Float4E2M1 {
  static constexpr DType kDType = DType::kFloat4E2M1;
  uint8_t bits = 0;
  Float4E2M1() = default;
  explicit Float4E2M1(float f);
  explicit operator float() const {
    constexpr float kValues[8] = {0.f, 0.5f, 1.f, 1.5f, 2.f, 3.f, 4.f, 6.f};
    const float magnitude = kValues[bits & 7];
    return bits & 8 ? -magnitude : magnitude;
  }
};

// Integers of Bits bits in a byte each; conversion from a wider integer keeps the low bits.
template <int Bits, bool Signed, DType D>
struct SmallInt {
  static constexpr DType kDType = D;
  static constexpr int kMin = Signed ? -(1 << (Bits - 1)) : 0;
  static constexpr int kMax = Signed ? (1 << (Bits - 1)) - 1 : (1 << Bits) - 1;
  using Storage = std::conditional_t<Signed, int8_t, uint8_t>;
  Storage value = 0;
  SmallInt() = default;
  explicit SmallInt(int64_t v) {
    const auto low = static_cast<uint8_t>(v & ((1 << Bits) - 1));
    value = Signed && (low >> (Bits - 1)) ? static_cast<Storage>(low - (1 << Bits)) : static_cast<Storage>(low);
  }
  explicit operator float() const { return value; }
  explicit operator int64_t() const { return value; }
};
using Int4 = SmallInt<4, true, DType::kInt4>;
using Uint4 = SmallInt<4, false, DType::kUint4>;
using Int2 = SmallInt<2, true, DType::kInt2>;
using Uint2 = SmallInt<2, false, DType::kUint2>;

// The integer that a float is cut to: NaN gives 0; what int64 cannot hold becomes its nearest value. Types narrower than 64
// bits then keep the low bits, as x86 has it, except int32, which takes its own nearest value; uint64 has its whole range.
template <class T>
T to_integer(double x) {
  const int64_t cut = std::isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : static_cast<int64_t>(x);
  if constexpr (std::is_same_v<T, uint64_t>)
    return x >= 0x1p64 ? UINT64_MAX : x >= 0x1p63 ? static_cast<uint64_t>(x) : static_cast<uint64_t>(cut);
  else if constexpr (std::is_same_v<T, int32_t>)
    return cut > INT32_MAX ? INT32_MAX : cut < INT32_MIN ? INT32_MIN : static_cast<int32_t>(cut);
  else
    return static_cast<T>(cut);
}

using Complex64 = std::complex<float>;
using Complex128 = std::complex<double>;

// What a kernel computes in for elements of type T: float for the small floats, T itself for the rest.
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<Float16> {
  using type = float;
};
template <>
struct ComputeType<Bfloat16> {
  using type = float;
};
template <Float8Kind K, DType D>
struct ComputeType<Float8<K, D>> {
  using type = float;
};
template <>
struct ComputeType<Float4E2M1> {
  using type = float;
};
template <int B, bool S, DType D>
struct ComputeType<SmallInt<B, S, D>> {
  using type = int64_t;
};
template <class T>
using compute_t = typename ComputeType<T>::type;

}  // namespace cameo
