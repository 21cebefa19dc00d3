// The axes of a loop over tensors, with neighbours merged along which every operand goes on alike.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cameo/types.h"

namespace cameo::cpu {

// Axes from the outermost to the innermost, each with a stride for every operand. Room for tensors of up to kMaxRank axes.
template <int MaxOperands>
struct Axes {
  static constexpr int kMaxRank = 8;
  int rank = 0;
  int num_operands = 0;
  int64_t extents[kMaxRank + 1];
  int64_t strides[MaxOperands][kMaxRank + 1];

  // Adds an axis inside of those that are there.
  void add(int64_t extent, const int64_t* stride) {
    if (extent == 1) return;
    bool merges = rank > 0;
    for (int i = 0; i < num_operands && merges; ++i) merges = strides[i][rank - 1] == stride[i] * extent;
    if (!merges) extents[rank++] = 1;
    extents[rank - 1] *= extent;
    for (int i = 0; i < num_operands; ++i) strides[i][rank - 1] = stride[i];
  }

  // Axes of extent 1 outside of all others until there are `wanted`.
  void widen(int wanted) {
    for (; rank < wanted; ++rank) {
      std::move_backward(extents, extents + rank, extents + rank + 1);
      extents[0] = 1;
      for (int i = 0; i < num_operands; ++i) {
        std::move_backward(strides[i], strides[i] + rank, strides[i] + rank + 1);
        strides[i][0] = 0;
      }
    }
  }

  // The offset of operand i at position `index`, counted in row-major order over the outer axes but the last `inner` ones.
  int64_t offset(int i, int64_t index, int inner) const {
    int64_t at = 0;
    for (int axis = rank - inner; axis-- > 0; index /= extents[axis]) at += index % extents[axis] * strides[i][axis];
    return at;
  }
};

// The stride in elements along `axis` of `to`, of a tensor of the extents `from` that broadcasts to it.
inline int64_t broadcast_stride(const Dims& from, const Dims& to, size_t axis) {
  const size_t missing = to.rank() - from.rank();
  if (axis < missing || from[axis - missing] == 1) return 0;
  int64_t stride = 1;
  for (size_t a = axis - missing + 1; a < from.rank(); ++a) stride *= from[a];
  return stride;
}

inline bool broadcasts(const Dims& from, const Dims& to) {
  if (from.rank() > to.rank()) return false;
  for (size_t i = 0; i < from.rank(); ++i)
    if (const int64_t d = from[i]; d != 1 && d != to[to.rank() - from.rank() + i]) return false;
  return true;
}

}  // namespace cameo::cpu
