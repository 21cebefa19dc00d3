// Conversion of tensors between element types, for Cast and CastLike.
#pragma once

#include "base/numeric.h"
#include "ops/op.h"

namespace cameo::ops {

// What converts: all but complex numbers.
inline constexpr TypeSet kCastTypes = kNumericTypes | kFloat8Types | kSubByteTypes | kBoolType | kStringType;

struct CastOptions {
  bool saturate = true;  // for the 8-bit floats
  E8M0Rounding rounding = E8M0Rounding::kUp;
};

// "up", "down" or "nearest".
Result<E8M0Rounding> parse_rounding(const std::string& round_mode);

// Converts every element of `from` to the type of `to`, which has the same number of elements.
//   Floats to integers: as to_integer() in base/numeric.h.
//   Integers to integers keep the low bits.
//   Numbers to bool: whether not zero. Floats to floats round to nearest even, once.
//   Text: a decimal number, "inf" or "nan" in any case (also "true" and "false" for bool); other text is an error that
//   quotes it. Numbers are written with the fewest digits that give them back.
Status cast_tensor(const Tensor& from, Tensor& to, const CastOptions& options);

}  // namespace cameo::ops
