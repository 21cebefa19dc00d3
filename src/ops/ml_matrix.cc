#include "ops/ml_matrix.h"

#include "ops/dispatch.h"

namespace cameo::ops {

Result<MatrixExtents> infer_matrix(const InferContext& c, size_t i) {
  if (!c.shape(i)) return MatrixExtents{};
  const ir::Shape& shape = *c.shape(i);
  if (shape.empty() || shape.size() > 2)
    return error(ErrorCode::kInvalidInput, "input {} has rank {}; it must be a matrix, or a vector for one row", i, shape.size());
  return MatrixExtents{shape.size() == 2 ? shape.front() : ir::Dim(1), shape.back()};
}

void read_row(const Tensor& x, int64_t r, std::span<double> row) {
  // Types were checked before; another leaves the row as it is.
  (void)dispatch_numbers(x.dtype(), "a row", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>() + r * std::ssize(row);
    for (double& value : row) value = static_cast<double>(static_cast<compute_t<T>>(*from++));
    return {};
  });
}

Status ClassLabels::check() const {
  if (numbers.empty() == strings.empty())
    return error(ErrorCode::kInvalidModel, "there are {} labels that are numbers and {} that are strings; exactly one kind must be given",
                 numbers.size(), strings.size());
  return {};
}

}  // namespace cameo::ops
