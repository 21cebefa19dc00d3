#include "backends/cpu/kernels/strided_copy.h"

#include "backends/cpu/kernels/axes.h"
#include "base/thread_pool.h"

namespace cameo::cpu {
namespace {

enum Side { kFrom, kTo };

// A task has at least so many bytes; less is not worth a second thread.
constexpr int64_t kTaskBytes = 16 * 1024;

// fn(begin, end) over parts of [0, units).
template <class Fn>
void share(ThreadPool& threads, int64_t units, int64_t bytes, Fn fn) {
  const int64_t tasks = std::min({units, bytes / kTaskBytes, int64_t{threads.size()} * 4});
  if (tasks < 2 || threads.size() == 1) return fn(0, units);
  threads.parallel_for(tasks, [&](int64_t task, int) { fn(units * task / tasks, units * (task + 1) / tasks); });
}

// Rows of contiguous elements: the innermost axis is the row, the next one goes from row to row.
void copy_rows(ThreadPool& threads, const Axes<2>& axes, int64_t element, int64_t count, const unsigned char* from, unsigned char* to) {
  const auto& kernels = copy_kernels();
  const int64_t row = axes.extents[axes.rank - 1] * element, inner = axes.extents[axes.rank - 2], total = count * element / row;
  // One row alone is cut to pieces.
  if (total == 1) {
    constexpr int64_t kPiece = 64;
    share(threads, (row + kPiece - 1) / kPiece, row, [&](int64_t begin, int64_t end) {
      kernels.rows(from + begin * kPiece, 0, to + begin * kPiece, 0, 1, std::min(end * kPiece, row) - begin * kPiece);
    });
    return;
  }
  const int64_t step_from = axes.strides[kFrom][axes.rank - 2] * element, step_to = axes.strides[kTo][axes.rank - 2] * element;
  share(threads, total, total * row, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end;) {
      const int64_t at = r % inner, some = std::min(inner - at, end - r);
      kernels.rows(from + axes.offset(kFrom, r / inner, 2) * element + at * step_from, step_from,
                   to + axes.offset(kTo, r / inner, 2) * element + at * step_to, step_to, some, row);
      r += some;
    }
  });
}

// The last two axes are a transposition: the one is contiguous in `from`, the other in `to`.
void copy_transposed(ThreadPool& threads, const Axes<2>& axes, int64_t count, const float* from, float* to) {
  constexpr int64_t kRows = 64;
  const int64_t rows = axes.extents[axes.rank - 2], columns = axes.extents[axes.rank - 1];
  const int64_t blocks = (rows + kRows - 1) / kRows, units = count / (rows * columns) * blocks;
  const int64_t from_stride = axes.strides[kFrom][axes.rank - 1], to_stride = axes.strides[kTo][axes.rank - 2];
  share(threads, units, count * 4, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t outer = unit / blocks, row = unit % blocks * kRows;
      copy_kernels().transpose4(from + axes.offset(kFrom, outer, 2) + row, from_stride, to + axes.offset(kTo, outer, 2) + row * to_stride,
                                to_stride, std::min(kRows, rows - row), columns);
    }
  });
}

// Few elements behind each other in `to`, each contiguous in `from`: pixels of few channels.
template <int Columns, class T>
void interleave(const T* from, int64_t from_stride, T* __restrict to, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i)
    for (int j = 0; j < Columns; ++j) to[i * Columns + j] = from[j * from_stride + i];
}

struct Wide {
  uint64_t half[2];
};

template <class T>
void copy_elements(ThreadPool& threads, const Axes<2>& axes, int64_t count, const T* from, T* to) {
  const int64_t row = axes.extents[axes.rank - 1], step_from = axes.strides[kFrom][axes.rank - 1],
                step_to = axes.strides[kTo][axes.rank - 1];
  if (axes.rank >= 2 && row >= 2 && row <= 4 && step_to == 1 && axes.strides[kTo][axes.rank - 2] == row &&
      axes.strides[kFrom][axes.rank - 2] == 1) {
    constexpr int64_t kBlock = 4096;
    const int64_t rows = axes.extents[axes.rank - 2], blocks = (rows + kBlock - 1) / kBlock;
    const auto turn = row == 2 ? &interleave<2, T> : row == 3 ? &interleave<3, T> : &interleave<4, T>;
    return share(threads, count / (rows * row) * blocks, count * static_cast<int64_t>(sizeof(T)), [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t first = unit % blocks * kBlock;
        turn(from + axes.offset(kFrom, unit / blocks, 2) + first, step_from, to + axes.offset(kTo, unit / blocks, 2) + first * row,
             std::min(kBlock, rows - first));
      }
    });
  }
  share(threads, count / row, count * static_cast<int64_t>(sizeof(T)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* p = from + axes.offset(kFrom, r, 1);
      T* q = to + axes.offset(kTo, r, 1);
      if (step_from == 0 && step_to == 1)
        std::fill_n(q, row, *p);
      else
        for (int64_t i = 0; i < row; ++i) q[i * step_to] = p[i * step_from];
    }
  });
}

}  // namespace

void copy_strided(ThreadPool& threads, int64_t element_bytes, const Dims& dims, const void* from, const Dims& from_strides, void* to,
                  const Dims& to_strides) {
  const int64_t count = dims.num_elements();
  if (count == 0) return;
  Axes<2> axes;
  axes.num_operands = 2;
  for (size_t i = 0; i < dims.rank(); ++i) {
    const int64_t strides[] = {from_strides[i], to_strides[i]};
    axes.add(dims[i], strides);
  }
  const bool rows = axes.rank == 0 || (axes.strides[kFrom][axes.rank - 1] == 1 && axes.strides[kTo][axes.rank - 1] == 1);
  if (axes.rank == 0) {
    const int64_t one[] = {1, 1};
    axes.extents[axes.rank++] = 1;
    axes.strides[kFrom][0] = one[0], axes.strides[kTo][0] = one[1];
  }
  if (rows) {
    axes.widen(2);
    return copy_rows(threads, axes, element_bytes, count, static_cast<const unsigned char*>(from), static_cast<unsigned char*>(to));
  }
  // The axis that is contiguous in `from` goes next to the innermost one, which is contiguous in `to`.
  if (element_bytes == 4 && axes.strides[kTo][axes.rank - 1] == 1)
    for (int i = 0; i + 1 < axes.rank; ++i)
      if (axes.strides[kFrom][i] == 1) {
        std::rotate(axes.extents + i, axes.extents + i + 1, axes.extents + axes.rank - 1);
        for (auto& strides : axes.strides) std::rotate(strides + i, strides + i + 1, strides + axes.rank - 1);
        return copy_transposed(threads, axes, count, static_cast<const float*>(from), static_cast<float*>(to));
      }
  switch (element_bytes) {
    case 1:
      return copy_elements(threads, axes, count, static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to));
    case 2:
      return copy_elements(threads, axes, count, static_cast<const uint16_t*>(from), static_cast<uint16_t*>(to));
    case 4:
      return copy_elements(threads, axes, count, static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to));
    case 8:
      return copy_elements(threads, axes, count, static_cast<const uint64_t*>(from), static_cast<uint64_t*>(to));
    default:
      return copy_elements(threads, axes, count, static_cast<const Wide*>(from), static_cast<Wide*>(to));
  }
}

}  // namespace cameo::cpu
