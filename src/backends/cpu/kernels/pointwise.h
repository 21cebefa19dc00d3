// Runs fused programs of element-by-element operations (ops/pointwise_program.h) on vectors.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"
#include "ops/point_op.h"

namespace cameo::cpu {

// A program over one row of `count` elements. Where steps[i] is 0, inputs[i] points to one element that stands for all;
// where it is 1, to `count` of them. `output` may be an input with step 1. Without instructions the output is input 0.
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

// A program over `rows` rows of `columns` elements: row r of input i begins at inputs[i] + r * row_strides[i] and of the
// output at output + r * output_stride. What is said of a row holds for each. Products and convolutions run it on tiles of
// their results that still lie in the cache.
struct PointwiseTile {
  const ops::PointInstruction* code;
  int num_instructions;
  int num_inputs;
  const float* constants;
  const float* const* inputs;
  const int64_t* row_strides;  // in elements; 0 repeats one row
  const uint8_t* steps;
  float* output;
  int64_t output_stride;
  int64_t rows, columns;
};

struct PointwiseKernels {
  void (*run_row)(const PointwiseRow& row);
  void (*run_tile)(const PointwiseTile& tile);
};
CAMEO_ISA_TABLE(PointwiseKernels, pointwise_kernels)

}  // namespace cameo::cpu
