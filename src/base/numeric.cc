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

}  // namespace

float round_to_odd(double d) {
  const float f = static_cast<float>(d);
  if (static_cast<double>(f) == d || std::isnan(d)) return f;
  const uint32_t x = std::bit_cast<uint32_t>(f);
  if (x & 1) return f;
  // f is even and not d, so its odd neighbour on d's side lies beyond d; from infinity that is the largest finite float.
  const bool away = std::fabs(d) > std::fabs(static_cast<double>(f));
  return std::bit_cast<float>(away ? x + 1 : x - 1);
}

uint8_t e8m0_from_float(float f, bool saturate, E8M0Rounding rounding) {
  if (std::isnan(f)) return 0xff;
  const uint8_t below = saturate ? 0 : 0xff, above = saturate ? 0xfe : 0xff;
  const float magnitude = std::fabs(f);
  if (std::isinf(magnitude)) return above;
  if (magnitude < 0x1p-127f) return below;
  const uint32_t x = std::bit_cast<uint32_t>(magnitude);
  uint32_t code = x >> 23, rest = x & 0x7fffff;
  constexpr uint32_t half = 0x400000;
  if (code == 0) rest = (x - half) << 1;  // 2^-127 to 2^-126: the floats are subnormal
  if (rounding == E8M0Rounding::kUp ? rest > 0 : rounding == E8M0Rounding::kNearest && rest >= half) ++code;
  return code > 0xfe ? above : static_cast<uint8_t>(code);
}

uint8_t float8_from_float(float f, Float8Kind kind, bool saturate) {
  if (kind == Float8Kind::kE8M0) return e8m0_from_float(f, saturate, E8M0Rounding::kUp);
  const Format format = format_of(kind);
  const uint8_t sign = std::signbit(f) ? 0x80 : 0;
  const uint8_t nan = format.fnuz ? 0x80 : static_cast<uint8_t>(sign | (format.infinity ? 0x7e : 0x7f));
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
  const uint8_t sign = std::signbit(f) || std::isnan(f) ? 8 : 0;
  const uint32_t code = std::isnan(f) ? 0 : std::isinf(f) ? 7 : round_code(std::fabs(f), 1, 1);
  bits = static_cast<uint8_t>(sign | (code > 7 ? 7 : code));
}

}  // namespace cameo
