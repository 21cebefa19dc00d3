// Reductions.
//
//   row      along contiguous elements: four vectors of partial results
//   columns  across rows: four vectors of columns in registers. Sums are taken over 64 rows at a time, so that the rounding
//            error of long columns grows with their number of blocks.
#include "backends/cpu/kernels/reduce_f32.h"

#include "backends/cpu/simd/math.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int kVectors = 4;
constexpr int64_t kBlockRows = 64;

struct Sum {
  static constexpr float kStart = 0;
  CAMEO_INLINE Vec step(Vec a, Vec x) { return a + x; }
  CAMEO_INLINE Vec merge(Vec a, Vec b) { return a + b; }
};
struct SumSquares : Sum {
  CAMEO_INLINE Vec step(Vec a, Vec x) { return fma(x, x, a); }
};
struct SumMagnitudes : Sum {
  CAMEO_INLINE Vec step(Vec a, Vec x) { return a + vabs(x); }
};
// NaN wins.
struct Max {
  static constexpr float kStart = -__builtin_inff();
  CAMEO_INLINE Vec step(Vec a, Vec x) { return select((x > a) | (x != x), x, a); }
  CAMEO_INLINE Vec merge(Vec a, Vec b) { return step(a, b); }
};
struct Min {
  static constexpr float kStart = __builtin_inff();
  CAMEO_INLINE Vec step(Vec a, Vec x) { return select((x < a) | (x != x), x, a); }
  CAMEO_INLINE Vec merge(Vec a, Vec b) { return step(a, b); }
};

template <class Op>
float reduce_row(const float* x, int64_t n) {
  Vec parts[kVectors];
  for (Vec& v : parts) v = splat(Op::kStart);
  int64_t i = 0;
  for (; i + kVectors * kLanes <= n; i += kVectors * kLanes)
    for (int k = 0; k < kVectors; ++k) parts[k] = Op::step(parts[k], load(x + i + k * kLanes));
  for (; i + kLanes <= n; i += kLanes) parts[0] = Op::step(parts[0], load(x + i));
  if (i < n) parts[1] = Op::step(parts[1], load_part_or(x + i, n - i, splat(Op::kStart)));
  float lanes[kLanes];
  store(lanes, Op::merge(Op::merge(parts[0], parts[1]), Op::merge(parts[2], parts[3])));
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int k = 0; k < width; ++k) lanes[k] = Op::merge(splat(lanes[k]), splat(lanes[k + width]))[0];
  return lanes[0];
}

template <class Op, int Vectors>
CAMEO_INLINE void reduce_block(const float* x, int64_t stride, int64_t rows, float* y) {
  for (int64_t first = 0; first < rows; first += kBlockRows) {
    const int64_t last = rows - first < kBlockRows ? rows : first + kBlockRows;
    Vec parts[Vectors];
    for (Vec& v : parts) v = splat(Op::kStart);
    for (int64_t r = first; r < last; ++r)
      for (int v = 0; v < Vectors; ++v) parts[v] = Op::step(parts[v], load(x + r * stride + v * kLanes));
    for (int v = 0; v < Vectors; ++v) store(y + v * kLanes, Op::merge(load(y + v * kLanes), parts[v]));
  }
}

template <class Op>
void reduce_columns(const float* x, int64_t stride, int64_t rows, int64_t columns, float* y) {
  int64_t j = 0;
  for (; j + kVectors * kLanes <= columns; j += kVectors * kLanes) reduce_block<Op, kVectors>(x + j, stride, rows, y + j);
  for (; j + kLanes <= columns; j += kLanes) reduce_block<Op, 1>(x + j, stride, rows, y + j);
  if (j == columns) return;
  for (int64_t first = 0; first < rows; first += kBlockRows) {
    const int64_t last = rows - first < kBlockRows ? rows : first + kBlockRows;
    Vec part = splat(Op::kStart);
    for (int64_t r = first; r < last; ++r) part = Op::step(part, load_part(x + r * stride + j, columns - j));
    store_part(y + j, Op::merge(load_part(y + j, columns - j), part), columns - j);
  }
}

float row(ReduceOp op, const float* x, int64_t n) {
  switch (op) {
    case ReduceOp::kSum:
      return reduce_row<Sum>(x, n);
    case ReduceOp::kSumSquares:
      return reduce_row<SumSquares>(x, n);
    case ReduceOp::kSumMagnitudes:
      return reduce_row<SumMagnitudes>(x, n);
    case ReduceOp::kMax:
      return reduce_row<Max>(x, n);
    case ReduceOp::kMin:
      return reduce_row<Min>(x, n);
  }
  return 0;
}

void columns(ReduceOp op, const float* x, int64_t stride, int64_t rows, int64_t count, float* y) {
  switch (op) {
    case ReduceOp::kSum:
      return reduce_columns<Sum>(x, stride, rows, count, y);
    case ReduceOp::kSumSquares:
      return reduce_columns<SumSquares>(x, stride, rows, count, y);
    case ReduceOp::kSumMagnitudes:
      return reduce_columns<SumMagnitudes>(x, stride, rows, count, y);
    case ReduceOp::kMax:
      return reduce_columns<Max>(x, stride, rows, count, y);
    case ReduceOp::kMin:
      return reduce_columns<Min>(x, stride, rows, count, y);
  }
}

}  // namespace

extern const ReduceKernels reduce_kernels = {.row = &row, .columns = &columns};

}  // namespace cameo::cpu::CAMEO_ISA
