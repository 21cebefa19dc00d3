// scores = X C' + b, which LinearRegressor and LinearClassifier share.
#pragma once

#include "ops/ml_matrix.h"

namespace cameo::ops {

// Coefficients are [targets, columns of X], intercepts [targets] or none.
inline Status check_linear_model(int64_t columns, int64_t targets, const std::vector<float>& coefficients,
                                 const std::vector<float>& intercepts) {
  int64_t needed = 0;
  if (__builtin_mul_overflow(columns, targets, &needed) || std::ssize(coefficients) != needed)
    return error(ErrorCode::kInvalidInput, "there are {} coefficients for {} targets and {} features", coefficients.size(), targets,
                 columns);
  if (!intercepts.empty() && std::ssize(intercepts) != targets)
    return error(ErrorCode::kInvalidModel, "there are {} intercepts for {} targets", intercepts.size(), targets);
  return {};
}

// The scores of a row, one for each element of `scores`, of sizes that check_linear_model accepted.
inline void linear_scores(std::span<const double> row, const std::vector<float>& coefficients, const std::vector<float>& intercepts,
                          std::span<double> scores) {
  const float* weight = coefficients.data();
  for (size_t k = 0; k < scores.size(); ++k) {
    double sum = intercepts.empty() ? 0 : intercepts[k];
    for (double x : row) sum += x * *weight++;
    scores[k] = sum;
  }
}

}  // namespace cameo::ops
