// LSTM and GRU: the products of the inputs of some steps with W first, then step by step those of the states with R and the
// gates.
//
// Weights lie in panels of 16 columns, so that lanes are gates' elements and nothing is added up across lanes:
//   one row    with 8 vectors of columns: a single sequence, at the speed at which R comes from the cache
//   four rows  with 4 vectors: the inputs of many time steps, or several sequences in step
#include "backends/cpu/kernels/recurrent_f32.h"

#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

// out = x W for Rows rows of x and Vectors vectors of columns of W from `column` on.
template <int Rows, int Vectors>
CAMEO_INLINE void multiply_tile(const float* x, int64_t x_stride, const float* panels, int64_t depth, int64_t column, float* out,
                                int64_t out_stride) {
  const float* w[Vectors];
  for (int v = 0; v < Vectors; ++v) w[v] = panels + (column + v * kLanes) / 16 * 16 * depth + (column + v * kLanes) % 16;
  Vec sums[Rows][Vectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Vec b[Vectors];
    for (int v = 0; v < Vectors; ++v) b[v] = load(w[v] + k * 16);
    for (int r = 0; r < Rows; ++r) {
      const Vec a = splat(x[r * x_stride + k]);
      for (int v = 0; v < Vectors; ++v) sums[r][v] = fma(a, b[v], sums[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) store(out + r * out_stride + column + v * kLanes, sums[r][v]);
}

template <int Rows, int Vectors>
CAMEO_INLINE void multiply_rows(const float* x, int64_t x_stride, const float* panels, int64_t depth, int64_t columns, float* out,
                                int64_t out_stride) {
  int64_t j = 0;
  for (; j + Vectors * kLanes <= columns; j += Vectors * kLanes)
    multiply_tile<Rows, Vectors>(x, x_stride, panels, depth, j, out, out_stride);
  for (; j < columns; j += kLanes) multiply_tile<Rows, 1>(x, x_stride, panels, depth, j, out, out_stride);
}

// `columns` is a multiple of 16.
void multiply(const float* x, int64_t x_stride, int64_t rows, const float* panels, int64_t depth, int64_t columns, float* out,
              int64_t out_stride) {
  constexpr int kVectors = kLanes == 16 ? 4 : 2;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    multiply_rows<4, kVectors>(x + r * x_stride, x_stride, panels, depth, columns, out + r * out_stride, out_stride);
  for (; r < rows; ++r) multiply_rows<1, 8>(x + r * x_stride, x_stride, panels, depth, columns, out + r * out_stride, out_stride);
}

// fn(i, read, write) for vectors of [0, n), the last one in part.
template <class F>
CAMEO_INLINE void for_vectors(int64_t n, F fn) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn([i](const float* p) { return load(p + i); }, [i](float* p, Vec v) { store(p + i, v); });
  if (i < n) fn([i, n](const float* p) { return load_part(p + i, n - i); }, [i, n](float* p, Vec v) { store_part(p + i, v, n - i); });
}

// The parts of the scratch memory.
struct Memory {
  float* projected;  // [rows][kRecurrentSteps][padded width]
  float* products;   // [rows][padded width]
  float* candidate;  // [rows][padded hidden]: GRU's product for the candidate
  float* h;          // [rows][hidden]
  float* cell;       // [rows][hidden]: the cell, or GRU's h times its reset gate
  float* other;      // [rows][hidden]
  float* bias;       // [gates * hidden]
};

void load_states(const RecurrentSequences& s, const float* from, float* to) {
  for (int64_t b = 0; b < s.rows; ++b)
    for_vectors(s.hidden, [&](auto read, auto write) { write(to + b * s.hidden, from ? read(from + b * s.state_row) : Vec{}); });
}
void store_states(const RecurrentSequences& s, const float* from, float* to) {
  if (to == nullptr) return;
  for (int64_t b = 0; b < s.rows; ++b)
    for_vectors(s.hidden, [&](auto read, auto write) { write(to + b * s.state_row, read(from + b * s.hidden)); });
}

// Also the sum of both biases for the first `joined` gates, and the input's for the rest.
Memory prepare(const RecurrentSequences& s, int64_t gates, int64_t joined, float* scratch) {
  const int64_t width = gates * s.hidden, padded = recurrent_padded(width);
  Memory m;
  m.projected = scratch;
  m.products = m.projected + kRecurrentRows * kRecurrentSteps * padded;
  m.candidate = m.products + kRecurrentRows * padded;
  m.h = m.candidate + kRecurrentRows * recurrent_padded(s.hidden);
  m.cell = m.h + kRecurrentRows * s.hidden;
  m.other = m.cell + kRecurrentRows * s.hidden;
  m.bias = m.other + kRecurrentRows * s.hidden;
  for (int64_t i = 0; i < width; ++i) m.bias[i] = s.bias ? s.bias[i] + (i < joined * s.hidden ? s.bias[width + i] : 0.f) : 0.f;
  load_states(s, s.initial_h, m.h);
  return m;
}

// The input's products at a step for sequence 0, those of others kRecurrentSteps * padded apart; every kRecurrentSteps steps
// computes those of the next ones.
const float* projected_at(const RecurrentSequences& s, const Memory& m, int64_t step, int64_t padded) {
  const int64_t local = step % kRecurrentSteps;
  const int64_t count = s.steps - (step - local) < kRecurrentSteps ? s.steps - (step - local) : kRecurrentSteps;
  const int64_t first = s.backwards ? s.steps - (step - local) - count : step - local;
  if (local == 0)
    for (int64_t b = 0; b < s.rows; ++b)
      multiply(s.x + first * s.x_time + b * s.x_row, s.x_time, count, s.w, s.input, padded, m.projected + b * kRecurrentSteps * padded,
               padded);
  return m.projected + (s.backwards ? count - 1 - local : local) * padded;
}

void lstm(const RecurrentSequences& s, float* scratch) {
  const int64_t n = s.hidden, padded = recurrent_padded(4 * n);
  const Memory m = prepare(s, 4, 4, scratch);
  load_states(s, s.initial_c, m.cell);
  for (int64_t step = 0; step < s.steps; ++step) {
    const int64_t t = s.backwards ? s.steps - 1 - step : step;
    const float* projected = projected_at(s, m, step, padded);
    multiply(m.h, n, s.rows, s.r, n, padded, m.products, padded);
    for (int64_t b = 0; b < s.rows; ++b) {
      const float* x = projected + b * kRecurrentSteps * padded;
      const float* product = m.products + b * padded;
      float *h = m.h + b * n, *cell = m.cell + b * n;
      float* y = s.y ? s.y + t * s.y_time + b * s.y_row : nullptr;
      for_vectors(n, [&](auto read, auto write) {
        const auto gate = [&](int64_t k) { return read(x + k * n) + read(product + k * n) + read(m.bias + k * n); };
        const Vec c = vsigmoid(gate(2)) * read(cell) + vsigmoid(gate(0)) * vtanh(gate(3));
        const Vec next = vsigmoid(gate(1)) * vtanh(c);
        write(cell, c);
        write(h, next);
        if (y) write(y, next);
      });
    }
  }
  store_states(s, m.h, s.last_h);
  store_states(s, m.cell, s.last_c);
}

void gru(const RecurrentSequences& s, float* scratch) {
  const int64_t n = s.hidden, padded = recurrent_padded(3 * n), padded_gates = recurrent_padded(2 * n), padded_n = recurrent_padded(n);
  const Memory m = prepare(s, 3, 2, scratch);
  const float* hidden_bias = s.bias ? s.bias + 5 * n : nullptr;  // of the candidate
  for (int64_t step = 0; step < s.steps; ++step) {
    const int64_t t = s.backwards ? s.steps - 1 - step : step;
    const float* projected = projected_at(s, m, step, padded);
    multiply(m.h, n, s.rows, s.r, n, padded_gates, m.products, padded);
    if (s.linear_before_reset) multiply(m.h, n, s.rows, s.r_candidate, n, padded_n, m.candidate, padded_n);
    for (int64_t b = 0; b < s.rows; ++b) {
      const float* x = projected + b * kRecurrentSteps * padded;
      const float* product = m.products + b * padded;
      // The update gate is kept in m.other, the reset one times h in m.cell, or with linear_before_reset times the product.
      for_vectors(n, [&](auto read, auto write) {
        const auto gate = [&](int64_t k) { return vsigmoid(read(x + k * n) + read(product + k * n) + read(m.bias + k * n)); };
        const Vec state_bias = hidden_bias ? read(hidden_bias) : Vec{};
        write(m.other + b * n, gate(0));
        write(m.cell + b * n, gate(1) * (s.linear_before_reset ? read(m.candidate + b * padded_n) + state_bias : read(m.h + b * n)));
      });
    }
    if (!s.linear_before_reset) multiply(m.cell, n, s.rows, s.r_candidate, n, padded_n, m.candidate, padded_n);
    for (int64_t b = 0; b < s.rows; ++b) {
      const float* x = projected + b * kRecurrentSteps * padded + 2 * n;
      float* h = m.h + b * n;
      float* y = s.y ? s.y + t * s.y_time + b * s.y_row : nullptr;
      for_vectors(n, [&](auto read, auto write) {
        const Vec state_bias = hidden_bias ? read(hidden_bias) : Vec{};
        const Vec added = s.linear_before_reset ? read(m.cell + b * n) : read(m.candidate + b * padded_n) + state_bias;
        const Vec candidate = vtanh(read(x) + read(m.bias + 2 * n) + added), z = read(m.other + b * n);
        const Vec next = (1.f - z) * candidate + z * read(h);
        write(h, next);
        if (y) write(y, next);
      });
    }
  }
  store_states(s, m.h, s.last_h);
}

}  // namespace

extern const RecurrentKernels recurrent_kernels = {.lstm = &lstm, .gru = &gru};

}  // namespace cameo::cpu::CAMEO_ISA
