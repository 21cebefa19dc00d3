// Selu (ai.onnx 1, 6, 22): gamma * x above 0, gamma * alpha * (exp(x) - 1) elsewhere. By default alpha is 1.67326 and
// gamma 1.0507; version 1 rounds them to 1.6732 and 1.0507.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct SeluAttrs : ir::AttrsOf<SeluAttrs> {
  std::optional<float> alpha, gamma;
  std::optional<std::vector<int64_t>> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("gamma", gamma);
    v("consumed_inputs", consumed_inputs);
  }
};

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<SeluAttrs>();
  const bool first = c.version() < 6;
  const float alpha = attrs.alpha.value_or(first ? 1.6732f : 1.67326319217681884765625f);
  const float gamma = attrs.gamma.value_or(first ? 1.0507f : 1.05070102214813232421875f);
  return map_floats(c, [alpha, gamma]<class X>(X x) -> X {
    return x > 0 ? static_cast<X>(gamma) * x : static_cast<X>(gamma) * static_cast<X>(alpha) * std::expm1(x);
  });
}

}  // namespace

CAMEO_DEFINE_OP(Selu) = {
    .name = "Selu",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<SeluAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
