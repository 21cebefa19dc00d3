// The first convolution of an image and the max pool behind it in one step (kernels/stem.h).
#pragma once

#include <optional>

#include "backends/cuda/kernels/stem.h"
#include "backends/cuda/step.h"

namespace cameo::cuda {

// The extents of a convolution of x with weights w and a pool behind it that gives y, all with the channels first; none where their
// windows are not those of the kernel.
std::optional<StemArgs> stem_extents(const Attributes& attrs, const Attributes& pool, const Dims& x, const Dims& w, const Dims& y);

// For an ai.cameo.Conv with pool(), which gives the pool's output: whether one kernel does both, and that as the step.
bool takes_pool(StepBuilder& b);
Status convolve_and_pool(StepBuilder& b);

}  // namespace cameo::cuda
