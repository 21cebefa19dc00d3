// Det (ai.onnx 11, 22): the determinant of each matrix in the last two extents, by elimination with row exchange in double;
// 1 for matrices without elements.
#include <algorithm>
#include <cmath>

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  ir::Type output = ir::Type::tensor(c.dtype(0));
  if (c.shape(0)) {
    const ir::Shape& shape = *c.shape(0);
    const size_t rank = shape.size();
    const bool square = rank >= 2 && (!shape[rank - 1].is_const() || !shape[rank - 2].is_const() || shape[rank - 1] == shape[rank - 2]);
    if (!square) return error(ErrorCode::kInvalidModel, "the input has shape {}, but must be square matrices", ir::to_string(shape));
    output.shape = ir::Shape(shape.begin(), shape.end() - 2);
  }
  c.set_output(0, std::move(output));
  return {};
}

// Destroys the n x n matrix.
double determinant(double* matrix, int64_t n) {
  double product = 1;
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i)
      if (std::abs(matrix[i * n + k]) > std::abs(matrix[pivot * n + k])) pivot = i;
    if (pivot != k) {
      std::swap_ranges(matrix + k * n, matrix + (k + 1) * n, matrix + pivot * n);
      product = -product;
    }
    const double head = matrix[k * n + k];
    product *= head;
    if (head == 0) return product;
    for (int64_t i = k + 1; i < n; ++i) {
      const double factor = matrix[i * n + k] / head;
      for (int64_t j = k + 1; j < n; ++j) matrix[i * n + j] -= factor * matrix[k * n + j];
    }
  }
  return product;
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const int64_t n = x.dim(x.rank() - 1);
  return dispatch_floats(x.dtype(), "Det", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const auto matrix = c.scratch<double>(n * n);
    for (int64_t m = 0; m < y.num_elements(); ++m) {
      for (int64_t i = 0; i < n * n; ++i) matrix[i] = static_cast<compute_t<T>>(x.data<T>()[m * n * n + i]);
      y.data<T>()[m] = static_cast<T>(determinant(matrix.data(), n));
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Det) = {
    .name = "Det",
    .min_version = 11,
    .input_types = {kFloatTypes},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
