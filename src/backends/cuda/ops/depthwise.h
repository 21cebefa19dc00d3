#pragma once

#include "backends/cuda/ops/ops.h"
#include "ops/pointwise_program.h"
#include "ops/window.h"

namespace cameo::cuda {

// y = program(depthwise convolution of x), both [N, H, W, C]; the weights, input 1 of the node, are [C, 1, kernel…]. Whether the
// kernel took it; if not, nothing was added.
Result<bool> try_depthwise(StepBuilder& b, const Dims& w_dims, const ops::Window& window, const Operand& x,
                           const ops::PointProgram& program, const Operand& y);

}  // namespace cameo::cuda
