// Shapes of batched matrix products, for MatMul, MatMulInteger and QLinearMatMul.
#pragma once

#include "ops/shapes.h"

namespace cameo::ops {

// The shape of numpy.matmul(a, b).
Result<ir::Shape> matmul_shape(const ir::Shape& a, const ir::Shape& b);

// A batch of products of m x k by k x n matrices. Strides are in matrices; the products follow each other in the output.
struct MatMulPlan {
  int64_t m = 1, n = 1, k = 1;
  Dims batch, a_strides, b_strides;
};
// For shapes that matmul_shape accepted. One matrix on the right of many is one product of all their rows.
MatMulPlan plan_matmul(const Dims& a, const Dims& b);

}  // namespace cameo::ops
