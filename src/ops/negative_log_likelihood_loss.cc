// NegativeLogLikelihoodLoss (ai.onnx 12, 13, 22): loss[n, d…] = -weight[t] * x[n, t, d…] with t = target[n, d…], 0 where t is
// ignore_index; as it is, its sum, or its sum divided by the sum of the weights used. Version 22 adds bfloat16.
#include "ops/class_loss.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  const int64_t classes = x.dim(1), inner = x.num_elements() == 0 ? 0 : x.num_elements() / (x.dim(0) * classes);
  return dispatch_floats(x.dtype(), "NegativeLogLikelihoodLoss", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    return class_loss<T>(c, [&](int64_t n, int64_t k, int64_t i) { return x.data<T>()[(n * classes + k) * inner + i]; });
  });
}

}  // namespace

CAMEO_DEFINE_OP(NegativeLogLikelihoodLoss) = {
    .name = "NegativeLogLikelihoodLoss",
    .min_version = 12,
    .min_inputs = 2,
    .max_inputs = 3,
    .input_types = {kFloatTypes, kIndexTypes, kFloatTypes},
    .make_attrs = &ir::make_attrs<ClassLossAttrs>,
    .infer = &infer_class_loss,
    .reference = &reference,
};

}  // namespace cameo::ops
