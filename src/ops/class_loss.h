// What NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss share: the loss of log-probabilities [N, C, d…] against class
// labels [N, d…], weighted per class, with one label value that may be ignored, and its reduction.
#pragma once

#include <string>

#include "ops/checks.h"
#include "ops/dispatch.h"

namespace cameo::ops {

struct ClassLossAttrs : ir::AttrsOf<ClassLossAttrs> {
  std::string reduction = "mean";
  std::optional<int64_t> ignore_index;
  void visit(ir::AttrVisitor& v) override {
    v("reduction", reduction);
    v("ignore_index", ignore_index);
  }
};

// Sets output 0, [N, d…] or a scalar.
Status infer_class_loss(InferContext& c);

// loss = -weight * log_probability(n, class, i), with i counting over d….
template <class T, class LogProbability>
Status class_loss(KernelContext& c, LogProbability log_probability) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<ClassLossAttrs>();
  const Tensor &x = c.input(0), &labels = c.input(1);
  const T* weights = c.has_input(2) ? c.input(2).data<T>() : nullptr;
  T* y = c.output(0).data<T>();
  const int64_t classes = x.dim(1), samples = labels.num_elements(), inner = samples == 0 ? 1 : samples / x.dim(0);
  C loss = 0, weight_sum = 0;
  for (int64_t i = 0; i < samples; ++i) {
    const int64_t label = labels.dtype() == DType::kInt64 ? labels.data<int64_t>()[i] : labels.data<int32_t>()[i];
    const bool ignored = attrs.ignore_index && label == *attrs.ignore_index;
    if (!ignored && (label < 0 || label >= classes))
      return error(ErrorCode::kInvalidInput, "label {} is {}; allowed: 0 to {}{}", i, label, classes - 1,
                   attrs.ignore_index ? ", or " + std::to_string(*attrs.ignore_index) : std::string());
    const C weight = ignored ? C{0} : weights ? static_cast<C>(weights[label]) : C{1};
    const C own = ignored ? C{0} : -weight * static_cast<C>(log_probability(i / inner, label, i % inner));
    if (attrs.reduction == "none") y[i] = static_cast<T>(own);
    loss += own;
    weight_sum += weight;
  }
  if (attrs.reduction == "sum") *y = static_cast<T>(loss);
  if (attrs.reduction == "mean") *y = static_cast<T>(loss / weight_sum);
  return {};
}

}  // namespace cameo::ops
