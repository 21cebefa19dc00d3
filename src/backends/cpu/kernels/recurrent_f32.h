// LSTM and GRU of float32 with their usual activation functions, some sequences in one direction at a time.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo::cpu {

inline constexpr int64_t kRecurrentRows = 4;  // the most sequences that go step by step together

inline constexpr int64_t kRecurrentSteps = 64;  // so many steps' inputs are multiplied at once

// Sequences of equal length. Element i of the input of sequence b at time t is x[t * x_time + b * x_row + i], and likewise
// for y; states lie state_row apart.
struct RecurrentSequences {
  const float* x;
  int64_t x_time, x_row;
  const float* w;            // `input` x gates * hidden, in panels of 16 columns that are padded with zeros
  const float* r;            // `hidden` x gates * hidden, of GRU the first two gates, in panels
  const float* r_candidate;  // GRU: `hidden` x hidden, in panels
  const float* bias;         // that of the input for all gates, then that of the state; or null
  const float* initial_h;
  const float* initial_c;  // each may be null: zeros
  float* y;                // may be null
  int64_t y_time, y_row;
  float* last_h;
  float* last_c;  // each may be null
  int64_t state_row;
  int64_t rows, steps, input, hidden;  // rows: sequences
  bool backwards;
  bool linear_before_reset;  // GRU
};

constexpr int64_t recurrent_padded(int64_t columns) { return (columns + 15) / 16 * 16; }
// Floats of scratch, for LSTM (4 gates) and GRU (3).
constexpr int64_t recurrent_scratch(int64_t hidden, int64_t gates) {
  return kRecurrentRows * (recurrent_padded(gates * hidden) * (kRecurrentSteps + 1) + recurrent_padded(hidden) + 3 * hidden) +
         gates * hidden;
}

struct RecurrentKernels {
  void (*lstm)(const RecurrentSequences& sequences, float* scratch);
  void (*gru)(const RecurrentSequences& sequences, float* scratch);
};
CAMEO_ISA_TABLE(RecurrentKernels, recurrent_kernels)

}  // namespace cameo::cpu
