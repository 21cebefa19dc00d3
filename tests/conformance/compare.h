// Compares values as ONNX's own test runner does.
#pragma once

#include <string>

#include "ops/op.h"

namespace cameo::conformance {

// The element as a number, whatever its type; of a complex number the real part.
double number_at(const Tensor& tensor, int64_t i);

// Empty when equal, else the first difference. Kinds, types and extents must be the same; floats may differ by
// atol + rtol * |want| (bfloat16: rtol at least 2^-6, two units in the last place), everything else not at all.
std::string difference(const ops::RtValue& got, const ops::RtValue& want, double rtol, double atol);

}  // namespace cameo::conformance
