// Matrix products for MatMul, Gemm and the operators that come down to them.
#pragma once

#include <cstdint>
#include <span>

namespace cameo::ops {

// A matrix inside a tensor: element (i, j) is data[i * row_step + j * column_step].
template <class T>
struct MatrixView {
  const T* data;
  int64_t row_step, column_step;
};

// Elements of workspace that gemm() wants for a product of these extents: at most a fixed amount.
int64_t gemm_workspace(int64_t m, int64_t n, int64_t k);

// C += A · B, where A is m x k, B is k x n, and row i of C begins at c + i * ldc. Products of T are added in Acc, in the
// order of k, whatever the extents. `workspace` has gemm_workspace(m, n, k) elements.
// T to Acc: float, double, uint32_t and uint64_t (arithmetic modulo 2^bits) to themselves; Float16 and Bfloat16 to float.
template <class T, class Acc>
void gemm(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, Acc* c, int64_t ldc, std::span<Acc> workspace);

}  // namespace cameo::ops
