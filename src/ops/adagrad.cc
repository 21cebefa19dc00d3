// Adagrad (ai.onnx.preview.training 1): with g' = g + norm_coefficient x, H' = H + g'^2 and r = R / (1 + T decay_factor),
// x' = x - r g' / (sqrt(H') + epsilon).
#include <cmath>

#include "ops/optimizer.h"

namespace cameo::ops {
namespace {

struct AdagradAttrs : ir::AttrsOf<AdagradAttrs> {
  float decay_factor = 0, epsilon = 1e-6f, norm_coefficient = 0;
  void visit(ir::AttrVisitor& v) override {
    v("decay_factor", decay_factor);
    v("epsilon", epsilon);
    v("norm_coefficient", norm_coefficient);
  }
};

Status infer(InferContext& c) { return infer_optimizer(c, 1); }

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<AdagradAttrs>();
  const double epsilon = attrs.epsilon, norm = attrs.norm_coefficient, decay = attrs.decay_factor;
  CAMEO_ASSIGN(double rate, read_scalar<double>(c.input(0), "the learning rate"));
  CAMEO_ASSIGN(const int64_t count, read_scalar<int64_t>(c.input(1), "the update count"));
  rate /= 1 + static_cast<double>(count) * decay;
  return apply_optimizer<1>(c, "Adagrad", [&](double& x, double gradient, double(&state)[1]) {
    const double g = gradient + norm * x;
    state[0] += g * g;
    x -= rate * g / (std::sqrt(state[0]) + epsilon);
  });
}

}  // namespace

CAMEO_DEFINE_OP(Adagrad) = {
    .name = "Adagrad",
    .domain = "ai.onnx.preview.training",
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = kVariadic,
    .max_outputs = kVariadic,
    .input_types = {kOptimizedTypes, {DType::kInt64}, kOptimizedTypes},
    .make_attrs = &ir::make_attrs<AdagradAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
