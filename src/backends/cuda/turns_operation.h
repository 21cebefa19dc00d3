// kernels/turns_product.h as an operation of a step, for 8-bit floats.
#pragma once

#include "backends/cuda/kernels/turns_product.h"
#include "backends/cuda/step.h"

namespace cameo::cuda {

struct TurnsOperands {
  Operand x, w, bias, y;
};

// The constant input i, a bias of n columns, in the order of turns_bias_offset().
Result<Operand> turns_bias(StepBuilder& b, size_t i, int64_t n);

// The product as an operation, for the caller to add; null where its kernel does not cover the case. `microseconds`, if given, gets what
// it takes, 0 where it could not be measured.
Result<std::unique_ptr<Operation>> make_turns_product(StepBuilder& b, TurnsArgs args, const TurnsOperands& operands, double* microseconds);

}  // namespace cameo::cuda
