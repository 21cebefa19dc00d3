// Shrink (ai.onnx 9): x + bias below -lambd, x - bias above lambd, 0 between. Integers are computed in double and cut.
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct ShrinkAttrs : ir::AttrsOf<ShrinkAttrs> {
  float bias = 0, lambd = 0.5f;
  void visit(ir::AttrVisitor& v) override {
    v("bias", bias);
    v("lambd", lambd);
  }
};

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<ShrinkAttrs>();
  return map_numbers(c, [bias = attrs.bias, lambd = attrs.lambd]<class X>(X x) -> X {
    using R = std::conditional_t<std::is_integral_v<X>, double, X>;
    const R r = static_cast<R>(x), b = static_cast<R>(bias), l = static_cast<R>(lambd);
    const R y = r < -l ? r + b : r > l ? r - b : R{0};
    if constexpr (std::is_integral_v<X>)
      return to_integer<X>(y);
    else
      return y;
  });
}

}  // namespace

CAMEO_DEFINE_OP(Shrink) = {
    .name = "Shrink",
    .min_version = 9,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<ShrinkAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
