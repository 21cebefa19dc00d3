// Runs fused programs of element-by-element operations (ops/pointwise_program.h) on vectors.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"
#include "ops/point_op.h"

namespace cameo::cpu {

// A program over one row of `count` elements. Where steps[i] is 0, inputs[i] points to one element that stands for all;
// where it is 1, to `count` of them. `output` may be an input with step 1.
struct PointwiseRow {
  const ops::PointInstruction* code;
  int num_instructions;
  int num_inputs;
  const float* constants;
  const float* const* inputs;
  const uint8_t* steps;
  float* output;
  int64_t count;
};

struct PointwiseKernels {
  void (*run_row)(const PointwiseRow& row);
};
CAMEO_ISA_TABLE(PointwiseKernels, pointwise_kernels)

}  // namespace cameo::cpu
