// Copies of tensors whose elements lie in another order, on all threads.
#pragma once

#include <cstdint>

#include "backends/cpu/simd/isa.h"

namespace cameo {
class ThreadPool;
class Dims;
}  // namespace cameo

namespace cameo::cpu {

struct CopyKernels {
  // Rows of `bytes` bytes; strides in bytes.
  void (*rows)(const unsigned char* from, int64_t from_stride, unsigned char* to, int64_t to_stride, int64_t rows, int64_t bytes);
  // to[i * to_stride + j] = from[j * from_stride + i] for elements of four bytes, i < rows, j < columns.
  void (*transpose4)(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t columns);
};
CAMEO_ISA_TABLE(CopyKernels, copy_kernels)

// to[sum(i * to_strides)] = from[sum(i * from_strides)] for all indices i of `dims`, of at most 8 axes. Elements have 1, 2, 4,
// 8 or 16 bytes; strides count elements, and those of `from` may be 0 or negative.
void copy_strided(ThreadPool& threads, int64_t element_bytes, const Dims& dims, const void* from, const Dims& from_strides, void* to,
                  const Dims& to_strides);

}  // namespace cameo::cpu
