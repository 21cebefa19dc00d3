// Shape rules that many operators share.
#pragma once

#include <cstdint>
#include <span>

#include "ops/op.h"

namespace cameo::ops {

// An axis in [-rank, rank) as one in [0, rank); the error names the attribute or input it came from.
Result<size_t> normalize_axis(int64_t axis, size_t rank, const char* what = "axis");
// The same for a list; a repeated axis is an error.
Result<std::vector<size_t>> normalize_axes(std::span<const int64_t> axes, size_t rank, const char* what = "axes");

// Multidirectional broadcasting (ONNX, Broadcasting.md). Where an extent is symbolic and the other is 1 or equal the
// result is known; a certain mismatch is an error that names both shapes.
Result<ir::Shape> broadcast(const ir::Shape& a, const ir::Shape& b);

// infer() for operators whose output has the type and shape of input 0.
Status infer_same_as_input(InferContext& context);
// infer() for operators with broadcasting over all inputs, which must be of one type; the output has it too.
Status infer_broadcast(InferContext& context);
// The same with bool output.
Status infer_broadcast_bool(InferContext& context);

// Row-major strides in elements.
Dims strides_of(const Dims& dims);
// Strides with which `from` is read in the order of `to`, 0 along broadcast extents. `from` must broadcast to `to`.
Dims broadcast_strides(const Dims& from, const Dims& to);

// Walks the indices of `dims` in row-major order; fn(offsets) gets one offset per stride list. For operators that
// are not worth a loop nest of their own; the innermost dimension is a plain loop.
template <size_t N, class Fn>
void for_each_offset(const Dims& dims, const Dims* const (&strides)[N], Fn fn) {
  const size_t rank = dims.rank();
  if (dims.num_elements() == 0) return;
  int64_t offsets[N] = {};
  if (rank == 0) return fn(offsets);
  Dims index(rank, 0);
  const int64_t inner = dims[rank - 1];
  while (true) {
    int64_t row[N];
    for (size_t k = 0; k < N; ++k) row[k] = offsets[k];
    for (int64_t i = 0; i < inner; ++i) {
      fn(row);
      for (size_t k = 0; k < N; ++k) row[k] += (*strides[k])[rank - 1];
    }
    size_t axis = rank - 1;
    while (axis > 0) {
      --axis;
      for (size_t k = 0; k < N; ++k) offsets[k] += (*strides[k])[axis];
      if (++index[axis] < dims[axis]) break;
      for (size_t k = 0; k < N; ++k) offsets[k] -= (*strides[k])[axis] * dims[axis];
      index[axis] = 0;
      if (axis == 0) return;
    }
    if (rank == 1) return;
  }
}

}  // namespace cameo::ops
