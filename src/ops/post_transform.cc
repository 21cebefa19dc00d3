#include "ops/post_transform.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace cameo::ops {
namespace {

// Giles' approximation of the inverse error function (relative error below 4e-7), improved by a Newton step.
double erfinv(double x) {
  if (!(x > -1 && x < 1)) return std::abs(x) == 1 ? std::copysign(std::numeric_limits<double>::infinity(), x) : std::nan("");
  double w = -std::log((1 - x) * (1 + x)), p;
  const auto polynomial = [](double v, std::initializer_list<double> coefficients) {
    double sum = 0;
    for (double c : coefficients) sum = sum * v + c;
    return sum;
  };
  if (w < 5)
    p = polynomial(w - 2.5, {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
                             0.246640727, 1.50140941});
  else
    p = polynomial(std::sqrt(w) - 3, {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
                                      0.00943887047, 1.00167406, 2.83297682});
  const double y = p * x;
  return y - (std::erf(y) - x) * std::sqrt(std::numbers::pi) / 2 * std::exp(y * y);
}

void softmax(std::span<double> scores, bool keep_zeros) {
  const double largest = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores)
    if (!keep_zeros || s != 0) sum += s = std::exp(s - largest);
  for (double& s : scores)
    if (s != 0) s /= sum;
}

}  // namespace

Result<PostTransform> post_transform_of(std::string_view name) {
  constexpr std::string_view kNames[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<PostTransform>(i);
  return error(ErrorCode::kInvalidModel, "post_transform is '{}'; allowed: NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO, PROBIT", name);
}

void apply(PostTransform transform, std::span<double> scores) {
  switch (transform) {
    case PostTransform::kNone:
      break;
    case PostTransform::kSoftmax:
      softmax(scores, false);
      break;
    case PostTransform::kSoftmaxZero:
      softmax(scores, true);
      break;
    case PostTransform::kLogistic:
      for (double& s : scores) s = 1 / (1 + std::exp(-s));
      break;
    case PostTransform::kProbit:
      for (double& s : scores) s = std::numbers::sqrt2 * erfinv(2 * s - 1);
      break;
  }
}

}  // namespace cameo::ops
