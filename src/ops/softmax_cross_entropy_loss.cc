// SoftmaxCrossEntropyLoss (ai.onnx 12, 13): the negative log-likelihood loss of log_prob = x - max(x) - log(sum(exp(x - max(x))))
// along axis 1; log_prob is an output too. Version 13 adds bfloat16.
#include <cmath>
#include <limits>

#include "ops/class_loss.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  CAMEO_TRY(infer_class_loss(c));
  c.set_output(1, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  const int64_t classes = x.dim(1), inner = x.num_elements() == 0 ? 0 : x.num_elements() / (x.dim(0) * classes);
  return dispatch_floats(x.dtype(), "SoftmaxCrossEntropyLoss", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto log_prob = c.scratch<C>(x.num_elements());
    for (int64_t n = 0; n < x.dim(0) && inner > 0; ++n)
      for (int64_t i = 0; i < inner; ++i) {
        const T* from = x.data<T>() + n * classes * inner + i;
        C* to = log_prob.data() + n * classes * inner + i;
        C largest = -std::numeric_limits<C>::infinity(), sum = 0;
        for (int64_t k = 0; k < classes; ++k) largest = std::max(largest, static_cast<C>(from[k * inner]));
        for (int64_t k = 0; k < classes; ++k) sum += std::exp(static_cast<C>(from[k * inner]) - largest);
        const C log_sum = std::log(sum);
        for (int64_t k = 0; k < classes; ++k) to[k * inner] = static_cast<C>(from[k * inner]) - largest - log_sum;
      }
    if (c.has_output(1))
      for (size_t i = 0; i < log_prob.size(); ++i) c.output(1).data<T>()[i] = static_cast<T>(log_prob[i]);
    return class_loss<T>(c, [&](int64_t n, int64_t k, int64_t i) { return log_prob[(n * classes + k) * inner + i]; });
  });
}

}  // namespace

CAMEO_DEFINE_OP(SoftmaxCrossEntropyLoss) = {
    .name = "SoftmaxCrossEntropyLoss",
    .min_version = 12,
    .min_inputs = 2,
    .max_inputs = 3,
    .max_outputs = 2,
    .input_types = {kFloatTypes, kIndexTypes, kFloatTypes},
    .make_attrs = &ir::make_attrs<ClassLossAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
