// What the classifiers and regressors of ai.onnx.ml do with the scores of a row at the end.
#pragma once

#include <span>
#include <string_view>

#include "base/error.h"

namespace cameo::ops {

enum class PostTransform : uint8_t { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

// "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT".
Result<PostTransform> post_transform_of(std::string_view name);

// kSoftmax: softmax over the row; kSoftmaxZero: the same over the scores other than 0, which stay; kLogistic: 1 / (1 + exp(-x));
// kProbit: the inverse of the normal distribution function, sqrt(2) erfinv(2 x - 1).
void apply(PostTransform transform, std::span<double> scores);

}  // namespace cameo::ops
