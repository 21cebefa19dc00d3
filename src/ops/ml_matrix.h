// What the operators of ai.onnx.ml share that work on the rows of a matrix: a vector counts as one row.
#pragma once

#include <string>
#include <vector>

#include "ops/op.h"

namespace cameo::ops {

inline constexpr TypeSet kMlTypes = {DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kInt32};

// The numbers of rows and columns of input i; unknown where they are not known. An error when the rank is 0 or more than 2.
struct MatrixExtents {
  ir::Dim rows, columns;
};
Result<MatrixExtents> infer_matrix(const InferContext& context, size_t i);

// The same of a tensor that infer_matrix accepted.
inline int64_t num_rows(const Tensor& x) { return x.rank() == 2 ? x.dim(0) : 1; }
inline int64_t num_columns(const Tensor& x) { return x.dims().back(); }

// Row r of a matrix of numbers, as doubles.
void read_row(const Tensor& x, int64_t r, std::span<double> row);

// The labels of a classifier: numbers or strings.
struct ClassLabels {
  const std::vector<int64_t>& numbers;
  const std::vector<std::string>& strings;

  size_t size() const { return strings.empty() ? numbers.size() : strings.size(); }
  DType dtype() const { return strings.empty() ? DType::kInt64 : DType::kString; }
  // An error when there are none, or both kinds.
  Status check() const;
  // y[r] is label k.
  void write(Tensor& y, int64_t r, size_t k) const {
    if (strings.empty())
      y.data<int64_t>()[r] = numbers[k];
    else
      y.data<std::string>()[r] = strings[k];
  }
};

}  // namespace cameo::ops
