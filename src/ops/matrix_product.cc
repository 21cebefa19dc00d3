// A blocked matrix product after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008):
// blocks of B and A are packed into panels that lie in cache, and a small tile of C stays in registers.
//   tile     4 rows and two vectors of columns
//   one row  where C has fewer rows than a tile and B's rows are contiguous: B streams through once, unpacked
#include "ops/matrix_product.h"

#include <algorithm>
#include <cstring>

#include "base/numeric.h"

namespace cameo::ops {
namespace {

constexpr int64_t kTileRows = 4;
constexpr int64_t kBlockRows = 64, kBlockColumns = 256, kBlockDepth = 256;

template <class Acc>
struct VectorOf {
  typedef Acc type __attribute__((vector_size(16)));
};
template <class Acc>
inline constexpr int64_t kLanes = 16 / sizeof(Acc);
template <class Acc>
inline constexpr int64_t kTileColumns = 2 * kLanes<Acc>;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Rows of A in panels of kTileRows, each k-major; missing rows are zero.
template <class T, class Acc>
void pack_rows(MatrixView<T> a, int64_t rows, int64_t depth, Acc* to) {
  for (int64_t i = 0; i < rows; i += kTileRows, to += kTileRows * depth) {
    for (int64_t r = 0; r < kTileRows; ++r) {
      if (i + r < rows) {
        const T* row = a.data + (i + r) * a.row_step;
        for (int64_t p = 0; p < depth; ++p) to[p * kTileRows + r] = static_cast<Acc>(row[p * a.column_step]);
      } else {
        for (int64_t p = 0; p < depth; ++p) to[p * kTileRows + r] = Acc{};
      }
    }
  }
}

// Columns of B in panels of kTileColumns, each k-major; missing columns are zero.
template <class T, class Acc>
void pack_columns(MatrixView<T> b, int64_t depth, int64_t columns, Acc* to) {
  constexpr int64_t kWidth = kTileColumns<Acc>;
  for (int64_t j = 0; j < columns; j += kWidth, to += kWidth * depth) {
    const int64_t width = std::min(kWidth, columns - j);
    const T* corner = b.data + j * b.column_step;
    if (width < kWidth) std::fill_n(to, kWidth * depth, Acc{});
    if (b.column_step == 1) {
      for (int64_t p = 0; p < depth; ++p)
        for (int64_t q = 0; q < width; ++q) to[p * kWidth + q] = static_cast<Acc>(corner[p * b.row_step + q]);
    } else {
      for (int64_t q = 0; q < width; ++q)
        for (int64_t p = 0; p < depth; ++p) to[p * kWidth + q] = static_cast<Acc>(corner[p * b.row_step + q * b.column_step]);
    }
  }
}

// A tile of C, rows x columns of it inside the matrix, += panel of A · panel of B.
template <class Acc>
void multiply_tile(int64_t depth, const Acc* a, const Acc* b, Acc* c, int64_t ldc, int64_t rows, int64_t columns) {
  using Vector = typename VectorOf<Acc>::type;
  constexpr int64_t kL = kLanes<Acc>, kWidth = kTileColumns<Acc>;
  Acc edge[kTileRows * kWidth] = {};
  const bool whole = rows == kTileRows && columns == kWidth;
  Acc* tile = whole ? c : edge;
  const int64_t step = whole ? ldc : kWidth;
  if (!whole)
    for (int64_t i = 0; i < rows; ++i) std::copy_n(c + i * ldc, columns, edge + i * kWidth);
  Vector left[kTileRows], right[kTileRows];
#pragma GCC unroll 4
  for (int64_t i = 0; i < kTileRows; ++i) {
    std::memcpy(&left[i], tile + i * step, sizeof(Vector));
    std::memcpy(&right[i], tile + i * step + kL, sizeof(Vector));
  }
  for (int64_t p = 0; p < depth; ++p, a += kTileRows, b += kWidth) {
    Vector b0, b1;
    std::memcpy(&b0, b, sizeof(Vector));
    std::memcpy(&b1, b + kL, sizeof(Vector));
#pragma GCC unroll 4
    for (int64_t i = 0; i < kTileRows; ++i) {
      left[i] += a[i] * b0;
      right[i] += a[i] * b1;
    }
  }
#pragma GCC unroll 4
  for (int64_t i = 0; i < kTileRows; ++i) {
    std::memcpy(tile + i * step, &left[i], sizeof(Vector));
    std::memcpy(tile + i * step + kL, &right[i], sizeof(Vector));
  }
  if (!whole)
    for (int64_t i = 0; i < rows; ++i) std::copy_n(edge + i * kWidth, columns, c + i * ldc);
}

// One row of C: y += x · B with B's rows contiguous.
template <class T, class Acc>
void multiply_row(int64_t n, int64_t k, const T* x, int64_t step, MatrixView<T> b, Acc* y) {
  constexpr int64_t kUnit = 4 * kLanes<Acc>;
  for (int64_t p = 0; p < k; ++p) {
    const Acc scale = static_cast<Acc>(x[p * step]);
    const T* row = b.data + p * b.row_step;
    int64_t j = 0;
    for (; j + kUnit <= n; j += kUnit) {
      Acc part[kUnit];
      for (int64_t q = 0; q < kUnit; ++q) part[q] = y[j + q] + scale * static_cast<Acc>(row[j + q]);
      std::copy_n(part, kUnit, y + j);
    }
    for (; j < n; ++j) y[j] += scale * static_cast<Acc>(row[j]);
  }
}

bool by_rows(int64_t m, int64_t column_step) { return m < kTileRows && column_step == 1; }

}  // namespace

int64_t gemm_workspace(int64_t m, int64_t n, int64_t k) {
  const int64_t depth = std::min(k, kBlockDepth);
  return depth * (round_up(std::min(n, kBlockColumns), 8) + round_up(std::min(m, kBlockRows), kTileRows));
}

template <class T, class Acc>
void gemm(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, Acc* c, int64_t ldc, std::span<Acc> workspace) {
  if (by_rows(m, b.column_step)) {
    for (int64_t i = 0; i < m; ++i) multiply_row(n, k, a.data + i * a.row_step, a.column_step, b, c + i * ldc);
    return;
  }
  constexpr int64_t kWidth = kTileColumns<Acc>;
  for (int64_t j = 0; j < n; j += kBlockColumns) {
    const int64_t columns = std::min(kBlockColumns, n - j);
    for (int64_t p = 0; p < k; p += kBlockDepth) {
      const int64_t depth = std::min(kBlockDepth, k - p);
      Acc* packed_b = workspace.data();
      Acc* packed_a = packed_b + depth * round_up(columns, kWidth);
      pack_columns(MatrixView<T>{b.data + p * b.row_step + j * b.column_step, b.row_step, b.column_step}, depth, columns, packed_b);
      for (int64_t i = 0; i < m; i += kBlockRows) {
        const int64_t rows = std::min(kBlockRows, m - i);
        pack_rows(MatrixView<T>{a.data + i * a.row_step + p * a.column_step, a.row_step, a.column_step}, rows, depth, packed_a);
        for (int64_t q = 0; q < columns; q += kWidth)
          for (int64_t r = 0; r < rows; r += kTileRows)
            multiply_tile(depth, packed_a + r * depth, packed_b + q * depth, c + (i + r) * ldc + j + q, ldc, std::min(kTileRows, rows - r),
                          std::min(kWidth, columns - q));
      }
    }
  }
}

#define CAMEO_GEMM(T, Acc) \
  template void gemm<T, Acc>(int64_t, int64_t, int64_t, MatrixView<T>, MatrixView<T>, Acc*, int64_t, std::span<Acc>);
CAMEO_GEMM(float, float)
CAMEO_GEMM(double, double)
CAMEO_GEMM(uint32_t, uint32_t)
CAMEO_GEMM(uint64_t, uint64_t)
CAMEO_GEMM(Float16, float)
CAMEO_GEMM(Bfloat16, float)
#undef CAMEO_GEMM

}  // namespace cameo::ops
