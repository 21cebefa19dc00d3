// What kernels of products can take of a program: a bias, an addend, then an activation.
#pragma once

#include "backends/cuda/kernels/quantized_product.h"
#include "backends/cuda/program.h"

namespace cameo::cuda {

struct LinearEpilogue {
  bool whole = false;           // the program is no more than this
  size_t bias = 0, addend = 0;  // inputs of the node; 0: none
  bool activates = false;
  ops::PointOp activation = ops::PointOp::kRelu;
  float low = 0, high = 0;  // of kRelu and kClip
};

// The program as that: sums of register 0 with a constant of one number a column and with a tensor of y's extents, in
// any order, then Relu, Clip by constants, Gelu (both) or Swish. Register r > 0 is the node's input first + r - 1.
LinearEpilogue match_linear_epilogue(const StepBuilder& b, const ops::PointProgram& program, size_t first, const Dims& y);

// The activation as kernels/quantized_product.h has it; Relu and Clip are clamps.
QuantizedProductArgs::Activation activation_of(const LinearEpilogue& e);

}  // namespace cameo::cuda
