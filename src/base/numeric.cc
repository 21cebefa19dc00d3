#include "base/numeric.h"

namespace cameo {
namespace {

struct Format {
  int exponent_bits, mantissa_bits, bias;
  bool infinity;  // the topmost exponent holds infinity and NaN, as IEEE
  bool fnuz;      // 0x80 is the only NaN
  float max;      // largest finite value
};

constexpr Format format_of(Float8Kind kind) {
  switch (kind) {
    case Float8Kind::kE4M3FN:
      return {4, 3, 7, false, false, 448.f};
    case Float8Kind::kE4M3FNUZ:
      return {4, 3, 8, false, true, 240.f};
    case Float8Kind::kE5M2:
      return {5, 2, 15, true, false, 57344.f};
    default:
      return {5, 2, 16, false, true, 57344.f};
  }
}

// A positive finite float as code of a small float without regard to overflow: exponent and mantissa rounded to
// nearest even, subnormals included. May carry into codes above the format's largest.
uint32_t round_code(float magnitude, int mantissa_bits, int bias) {
  const uint32_t x = std::bit_cast<uint32_t>(magnitude);
  int exponent = static_cast<int>(x >> 23) - 127;
  uint64_t significand = x & 0x7fffff;
  if (x >> 23)
    significand |= 0x800000;
  else
    exponent = -126;
  int shift = 23 - mantissa_bits;
  int biased = exponent + bias;
  if (biased < 1) {  // subnormal in the small format
    shift += 1 - biased;
    biased = 1;
  }
  if (shift > 40) return 0;
  const uint64_t half = uint64_t{1} << (shift - 1), rest = significand & ((uint64_t{1} << shift) - 1);
  uint64_t rounded = significand >> shift;
  if (rest > half || (rest == half && (rounded & 1))) ++rounded;
  // `rounded` holds the implicit bit of normal numbers, so a carry moves into the exponent by itself.
  return static_cast<uint32_t>(((static_cast<uint64_t>(biased) - 1) << mantissa_bits) + rounded);
}

uint8_t e8m0_from_float(float f, bool saturate) {
  if (std::isnan(f)) return 0xff;
  const float magnitude = std::fabs(f);
  if (std::isinf(magnitude)) return saturate ? 0xfe : 0xff;
  if (magnitude == 0) return 0;
  const uint32_t x = std::bit_cast<uint32_t>(magnitude);
  uint32_t exponent = x >> 23;
  const uint32_t mantissa = x & 0x7fffff;
  if (exponent == 0) return mantissa > 0x400000 ? 1 : 0;
  if (mantissa >= 0x400000) ++exponent;  // ties upward (ONNX's default "up"-free rounding: half or more)
  if (exponent >= 0xff) return saturate ? 0xfe : 0xff;
  return static_cast<uint8_t>(exponent);
}

}  // namespace

Float16::Float16(double d) {
  float f = static_cast<float>(d);
  // Make the float odd when the first rounding was inexact, so that the second sees on which side the value lay.
  if (!std::isnan(d) && static_cast<double>(f) != d && !std::isinf(f)) {
    uint32_t x = std::bit_cast<uint32_t>(f);
    if ((x & 1) == 0) {
      const bool up = std::fabs(d) > std::fabs(static_cast<double>(f));
      x = up ? x + 1 : x - 1;
    }
    f = std::bit_cast<float>(x);
  }
  bits = from_float(f);
}

uint8_t float8_from_float(float f, Float8Kind kind, bool saturate) {
  if (kind == Float8Kind::kE8M0) return e8m0_from_float(f, saturate);
  const Format format = format_of(kind);
  const uint8_t sign = std::signbit(f) ? 0x80 : 0;
  const uint8_t nan = format.fnuz ? 0x80 : static_cast<uint8_t>(sign | 0x7f);
  if (std::isnan(f)) return nan;
  const auto largest = static_cast<uint8_t>(round_code(format.max, format.mantissa_bits, format.bias));
  const uint8_t beyond = saturate ? static_cast<uint8_t>(sign | largest) : format.infinity ? static_cast<uint8_t>(sign | 0x7c) : nan;
  if (std::isinf(f)) return beyond;
  const uint32_t code = round_code(std::fabs(f), format.mantissa_bits, format.bias);
  if (code > largest) return beyond;
  if (code == 0 && format.fnuz) return 0;
  return static_cast<uint8_t>(sign | code);
}

float float8_to_float(uint8_t code, Float8Kind kind) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  if (kind == Float8Kind::kE8M0) return code == 0xff ? kNan : std::ldexp(1.f, code - 127);
  const Format format = format_of(kind);
  if (format.fnuz && code == 0x80) return kNan;
  const int exponent = (code & 0x7f) >> format.mantissa_bits, mantissa = code & ((1 << format.mantissa_bits) - 1);
  const bool top = exponent == (1 << format.exponent_bits) - 1;
  float magnitude;
  if (format.infinity && top)
    magnitude = mantissa ? kNan : std::numeric_limits<float>::infinity();
  else if (kind == Float8Kind::kE4M3FN && (code & 0x7f) == 0x7f)
    magnitude = kNan;
  else if (exponent == 0)
    magnitude = std::ldexp(static_cast<float>(mantissa), 1 - format.bias - format.mantissa_bits);
  else
    magnitude = std::ldexp(static_cast<float>(mantissa + (1 << format.mantissa_bits)), exponent - format.bias - format.mantissa_bits);
  return code & 0x80 ? -magnitude : magnitude;
}

Float4E2M1::Float4E2M1(float f) {
  // ONNX casts NaN to the largest value; ties go to the even code.
  const uint8_t sign = std::signbit(f) && !std::isnan(f) ? 8 : 0;
  const uint32_t code = std::isnan(f) || std::isinf(f) ? 7 : round_code(std::fabs(f), 1, 1);
  bits = static_cast<uint8_t>(sign | (code > 7 ? 7 : code));
}

}  // namespace cameo
