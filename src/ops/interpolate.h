// Resampling along the axes of a tensor: what Resize and Upsample do once they know the extents.
#pragma once

#include <span>
#include <string>

#include "ops/op.h"

namespace cameo::ops {

enum class Interpolation { kNearest, kLinear, kCubic };
// How a position in the output maps to one in the input (ONNX, operator Resize).
enum class Coordinates {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfHalfPixelForNn,
  kTfCropAndResize
};
enum class Rounding { kRoundPreferFloor, kRoundPreferCeil, kFloor, kCeil };

struct Resampling {
  Interpolation mode = Interpolation::kNearest;
  Coordinates coordinates = Coordinates::kHalfPixel;
  Rounding rounding = Rounding::kRoundPreferFloor;
  double cubic_a = -0.75;
  bool antialias = false;        // linear and cubic filters widen when they shrink
  bool exclude_outside = false;  // weights outside the input become 0, the others are scaled to add up to 1
  double extrapolation = 0;      // value outside the input, kTfCropAndResize only
};

struct ResampledAxis {
  double scale = 1;
  double roi_start = 0, roi_end = 1;  // kTfCropAndResize only
};

// One axis of an interpolation of floats: output row i of [outer, out, inner] is the sum over t < taps of
// weights[i * taps + t] * row indices[i * taps + t] of [outer, in, inner], or `extrapolation` where outside[i] is set.
struct InterpolationPass {
  int64_t outer, in, out, inner, taps;
  const int64_t* indices;
  const float* weights;
  const uint8_t* outside;
  float extrapolation;
  const float* from;
  float* to;
};
using RunInterpolation = void (*)(KernelContext& context, const InterpolationPass& pass);

// y = x resampled; axes[i] belongs to axis i, the extents are those of the tensors. Interpolated values of integer types
// are rounded to the nearest, halves to even, and saturate. An extent of x that is 0 must be 0 in y. `run` does the passes of
// float tensors; without it a plain loop does.
Status resample(KernelContext& context, const Tensor& x, Tensor& y, std::span<const ResampledAxis> axes, const Resampling& how,
                RunInterpolation run = nullptr);

// The operator Resize with such a `run`.
Status resize(KernelContext& context, RunInterpolation run);

}  // namespace cameo::ops
