// Programs of element-by-element operations over whole tensors, with NumPy's broadcasting, on all threads.
#pragma once

#include <span>

#include "ops/op.h"
#include "ops/point_op.h"

namespace cameo::cpu {

// y = program(inputs…): float32 tensors that broadcast to y, as many as the program has inputs (at most 16), which are not
// checked here but in size. `constants` as in a PointProgram. The elements of y may be those of an input of its extents.
Status run_pointwise(ops::KernelContext& context, std::span<const ops::PointInstruction> code, const float* constants,
                     std::span<const Tensor* const> inputs, Tensor& y);

}  // namespace cameo::cpu
