// Gelu (ai.onnx 20): x / 2 * (1 + erf(x / sqrt(2))); with approximate = "tanh",
// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).
#include <cmath>
#include <numbers>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct GeluAttrs : ir::AttrsOf<GeluAttrs> {
  std::string approximate = "none";
  void visit(ir::AttrVisitor& v) override { v("approximate", approximate); }
};

Status infer(InferContext& c) {
  const std::string& approximate = c.attrs<GeluAttrs>().approximate;
  if (approximate != "none" && approximate != "tanh")
    return error(ErrorCode::kInvalidModel, "approximate is '{}'; it must be none or tanh", approximate);
  return infer_same_as_input(c);
}

Status reference(KernelContext& c) {
  if (c.attrs<GeluAttrs>().approximate == "tanh")
    return map_floats(c, []<class X>(X x) -> X {
      return X{0.5} * x * (1 + std::tanh(static_cast<X>(std::sqrt(2 / std::numbers::pi)) * (x + X(0.044715) * x * x * x)));
    });
  return map_floats(c, []<class X>(X x) -> X { return X{0.5} * x * (1 + std::erf(x / std::numbers::sqrt2_v<X>)); });
}

}  // namespace

CAMEO_DEFINE_OP(Gelu) = {
    .name = "Gelu",
    .min_version = 20,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<GeluAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
