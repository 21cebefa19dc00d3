// The first convolution of an image and the max pool behind it in one step (kernels/stem.h).
#pragma once

#include "backends/cuda/step.h"

namespace cameo::cuda {

// For an ai.cameo.Conv with pool(), which gives the pool's output: whether one kernel does both, and that as the step.
bool takes_pool(StepBuilder& b);
Status convolve_and_pool(StepBuilder& b);

}  // namespace cameo::cuda
