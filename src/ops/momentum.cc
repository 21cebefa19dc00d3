// Momentum (ai.onnx.preview.training 1): with g' = g + norm_coefficient x and V' = alpha V + b g', where b is beta, but 1 for the
// first update (T = 0): x' = x - R V', or in the mode "nesterov" x' = x - R (g' + alpha V').
#include "ops/optimizer.h"

namespace cameo::ops {
namespace {

struct MomentumAttrs : ir::AttrsOf<MomentumAttrs> {
  float alpha = 0, beta = 0, norm_coefficient = 0;
  std::string mode;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("beta", beta);
    v("norm_coefficient", norm_coefficient);
    v("mode", mode);
  }
};

Status infer(InferContext& c) {
  const std::string& mode = c.attrs<MomentumAttrs>().mode;
  if (mode != "standard" && mode != "nesterov")
    return error(ErrorCode::kInvalidModel, "mode is '{}'; allowed: 'standard', 'nesterov'", mode);
  return infer_optimizer(c, 1);
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<MomentumAttrs>();
  const double alpha = attrs.alpha, norm = attrs.norm_coefficient;
  const bool nesterov = attrs.mode == "nesterov";
  CAMEO_ASSIGN(const double rate, read_scalar<double>(c.input(0), "the learning rate"));
  CAMEO_ASSIGN(const int64_t count, read_scalar<int64_t>(c.input(1), "the update count"));
  const double beta = count > 0 ? attrs.beta : 1;
  return apply_optimizer<1>(c, "Momentum", [&](double& x, double gradient, double(&state)[1]) {
    const double g = gradient + norm * x;
    state[0] = alpha * state[0] + beta * g;
    x -= rate * (nesterov ? g + alpha * state[0] : state[0]);
  });
}

}  // namespace

CAMEO_DEFINE_OP(Momentum) = {
    .name = "Momentum",
    .domain = "ai.onnx.preview.training",
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .input_types = {kOptimizedTypes, {DType::kInt64}, kOptimizedTypes},
    .make_attrs = &ir::make_attrs<MomentumAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
