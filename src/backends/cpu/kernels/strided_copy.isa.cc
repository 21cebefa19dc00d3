// Short rows are copied by vectors, the last of which may overlap the one before; transpositions by squares of a vector's
// width that are turned in registers.
#include "backends/cpu/kernels/strided_copy.h"

#include "backends/cpu/simd/shuffle.h"

namespace cameo::cpu::CAMEO_ISA {
namespace {

constexpr int64_t kBytes = sizeof(Vec);

// At least one vector.
CAMEO_INLINE void copy_vectors(const unsigned char* from, unsigned char* to, int64_t bytes) {
  Vec v;
  for (int64_t i = 0; i + kBytes < bytes; i += kBytes) {
    __builtin_memcpy(&v, from + i, sizeof v);
    __builtin_memcpy(to + i, &v, sizeof v);
  }
  __builtin_memcpy(&v, from + bytes - kBytes, sizeof v);
  __builtin_memcpy(to + bytes - kBytes, &v, sizeof v);
}

void rows(const unsigned char* from, int64_t from_stride, unsigned char* to, int64_t to_stride, int64_t count, int64_t bytes) {
  if (bytes >= kBytes && bytes <= 1024)
    for (int64_t r = 0; r < count; ++r) copy_vectors(from + r * from_stride, to + r * to_stride, bytes);
  else
    for (int64_t r = 0; r < count; ++r) __builtin_memcpy(to + r * to_stride, from + r * from_stride, static_cast<size_t>(bytes));
}

// Few columns or rows that lie behind each other: pixels of few channels, channels in few groups.
template <int Columns>
void interleave(const float* from, int64_t from_stride, float* __restrict to, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i)
    for (int j = 0; j < Columns; ++j) to[i * Columns + j] = from[j * from_stride + i];
}
template <int Rows>
void separate(const float* from, float* __restrict to, int64_t to_stride, int64_t columns) {
  for (int64_t j = 0; j < columns; ++j)
    for (int i = 0; i < Rows; ++i) to[i * to_stride + j] = from[j * Rows + i];
}

void transpose4(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t columns) {
  if (to_stride == columns) {
    if (columns == 2) return interleave<2>(from, from_stride, to, rows);
    if (columns == 3) return interleave<3>(from, from_stride, to, rows);
    if (columns == 4) return interleave<4>(from, from_stride, to, rows);
  }
  if (from_stride == rows) {
    if (rows == 2) return separate<2>(from, to, to_stride, columns);
    if (rows == 3) return separate<3>(from, to, to_stride, columns);
    if (rows == 4) return separate<4>(from, to, to_stride, columns);
  }
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int64_t height = rows - i < kLanes ? rows - i : kLanes;
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int64_t width = columns - j < kLanes ? columns - j : kLanes;
      const float* p = from + j * from_stride + i;
      float* q = to + i * to_stride + j;
      Vec square[kLanes];
      for (int k = 0; k < kLanes; ++k)
        square[k] = k >= width ? Vec{} : height == kLanes ? load(p + k * from_stride) : load_part(p + k * from_stride, height);
      transpose(square);
      if (width == kLanes && height == kLanes)
        for (int k = 0; k < kLanes; ++k) store(q + k * to_stride, square[k]);
      else
        for (int k = 0; k < height; ++k)
          if (width == kLanes)
            store(q + k * to_stride, square[k]);
          else
            store_part(q + k * to_stride, square[k], width);
    }
  }
}

}  // namespace

extern const CopyKernels copy_kernels = {.rows = &rows, .transpose4 = &transpose4};

}  // namespace cameo::cpu::CAMEO_ISA
