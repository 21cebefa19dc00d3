// Layers of an encoder as the chain of kernels of kernels/encoder_layers.h.
#pragma once

#include <vector>

#include "backends/cuda/kernels/encoder_layers.h"
#include "backends/cuda/step.h"

namespace cameo::cuda {

// Adds the operation, with the products divided as is measured to be the fastest. `args` has all addresses but those of the operands.
Status add_encoder_chain(StepBuilder& b, const EncoderArgs& args, std::vector<EncoderLayer> layers, std::vector<EncoderSums> sums,
                         Operand x, Operand mask, Operand y);

}  // namespace cameo::cuda
