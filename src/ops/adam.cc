// Adam (ai.onnx.preview.training 1): with g' = g + norm_coefficient x, V' = alpha V + (1 - alpha) g', H' = beta H + (1 - beta) g'^2,
// x' = (1 - norm_coefficient_post) (x - r V' / (sqrt(H') + epsilon)), where r is R when T = 0, and from then on
// R sqrt(1 - beta^T) / (1 - alpha^T).
#include <cmath>

#include "ops/optimizer.h"

namespace cameo::ops {
namespace {

struct AdamAttrs : ir::AttrsOf<AdamAttrs> {
  float alpha = 0.9f, beta = 0.999f, epsilon = 1e-6f, norm_coefficient = 0, norm_coefficient_post = 0;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("beta", beta);
    v("epsilon", epsilon);
    v("norm_coefficient", norm_coefficient);
    v("norm_coefficient_post", norm_coefficient_post);
  }
};

Status infer(InferContext& c) { return infer_optimizer(c, 2); }

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<AdamAttrs>();
  const double alpha = attrs.alpha, beta = attrs.beta, norm = attrs.norm_coefficient, shrink = 1.0 - attrs.norm_coefficient_post;
  const double epsilon = attrs.epsilon;
  CAMEO_ASSIGN(double rate, read_scalar<double>(c.input(0), "the learning rate"));
  CAMEO_ASSIGN(const int64_t count, read_scalar<int64_t>(c.input(1), "the update count"));
  if (count > 0) {
    const auto t = static_cast<double>(count);
    rate *= std::sqrt(1 - std::pow(beta, t)) / (1 - std::pow(alpha, t));
  }
  return apply_optimizer<2>(c, "Adam", [&](double& x, double gradient, double(&state)[2]) {
    const double g = gradient + norm * x;
    state[0] = alpha * state[0] + (1 - alpha) * g;
    state[1] = beta * state[1] + (1 - beta) * g * g;
    x = shrink * (x - rate * state[0] / (std::sqrt(state[1]) + epsilon));
  });
}

}  // namespace

CAMEO_DEFINE_OP(Adam) = {
    .name = "Adam",
    .domain = "ai.onnx.preview.training",
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .input_types = {kOptimizedTypes, {DType::kInt64}, kOptimizedTypes},
    .make_attrs = &ir::make_attrs<AdamAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
