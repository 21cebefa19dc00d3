// The blocked matrix product behind convolutions: C += A * B, with A (rows x depth) and B (depth x columns) handed
// over in packed pieces, so that the packing can convert element types, subtract zero points and gather windows.
// One micro-kernel keeps a tile of 4 x 8 sums in registers; compilers vectorise its fixed-length loops.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/op.h"

namespace cameo::ops {

inline constexpr int64_t kTileRows = 4, kTileColumns = 8;
// Depth and number of columns of one packed block of B: it stays in the second-level cache.
inline constexpr int64_t kBlockDepth = 256, kBlockColumns = 256;

// sums[rows][columns] += a * b over `depth`; a is [depth][4], b is [depth][8].
template <class C>
void multiply_tile(int64_t depth, const C* __restrict a, const C* __restrict b, C* sums, int64_t stride, int64_t rows, int64_t columns) {
  C tile[kTileRows][kTileColumns] = {};
  for (int64_t k = 0; k < depth; ++k, a += kTileRows, b += kTileColumns)
    for (int i = 0; i < kTileRows; ++i)
      for (int j = 0; j < kTileColumns; ++j) tile[i][j] += a[i] * b[j];
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) sums[i * stride + j] += tile[i][j];
}

// Memory of one product of blocks.
template <class C>
struct GemmScratch {
  C* a;    // kBlockDepth x kTileRows
  C* b;    // kBlockDepth x kBlockColumns, in panels of kTileColumns
  C* row;  // kBlockColumns, for pack_b to write a row of B into

  explicit GemmScratch(KernelContext& c)
      : a(c.scratch<C>(kBlockDepth * kTileRows).data()),
        b(c.scratch<C>(kBlockDepth * kBlockColumns).data()),
        row(c.scratch<C>(kBlockColumns).data()) {}
};

// sums[rows x columns] += A * B for at most kBlockColumns columns.
//   load_a(row, k): an element of A;  pack_b(k, row): writes row k of B, `columns` elements.
template <class C, class LoadA, class PackB>
void multiply_block(int64_t rows, int64_t columns, int64_t depth, GemmScratch<C>& s, LoadA load_a, PackB pack_b, C* sums, int64_t stride) {
  for (int64_t k0 = 0; k0 < depth; k0 += kBlockDepth) {
    const int64_t kn = std::min(kBlockDepth, depth - k0);
    for (int64_t k = 0; k < kn; ++k) {
      pack_b(k0 + k, s.row);
      std::fill(s.row + columns, s.row + (columns + kTileColumns - 1) / kTileColumns * kTileColumns, C{});
      for (int64_t j = 0; j < columns; j += kTileColumns) std::copy_n(s.row + j, kTileColumns, s.b + j * kn + k * kTileColumns);
    }
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const int64_t in = std::min(kTileRows, rows - i);
      for (int64_t r = 0; r < kTileRows; ++r)
        for (int64_t k = 0; k < kn; ++k) s.a[k * kTileRows + r] = r < in ? static_cast<C>(load_a(i + r, k0 + k)) : C{};
      for (int64_t j = 0; j < columns; j += kTileColumns)
        multiply_tile(kn, s.a, s.b + j * kn, sums + i * stride + j, stride, in, std::min(kTileColumns, columns - j));
    }
  }
}

}  // namespace cameo::ops
