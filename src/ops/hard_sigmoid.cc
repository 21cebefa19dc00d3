// HardSigmoid (ai.onnx 1, 6, 22): max(0, min(1, alpha * x + beta)).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct HardSigmoidAttrs : ir::AttrsOf<HardSigmoidAttrs> {
  float alpha = 0.2f, beta = 0.5f;
  std::optional<std::vector<int64_t>> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("beta", beta);
    v("consumed_inputs", consumed_inputs);
  }
};

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<HardSigmoidAttrs>();
  return map_floats(c, [alpha = attrs.alpha, beta = attrs.beta]<class X>(X x) {
    const X y = alpha * x + beta;
    return y < 0 ? X{0} : y > 1 ? X{1} : y;
  });
}

}  // namespace

CAMEO_DEFINE_OP(HardSigmoid) = {
    .name = "HardSigmoid",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<HardSigmoidAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
