// IsInf (ai.onnx 10, 20): whether x is infinite; each sign can be left out. Version 20 added the 8-bit floats.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct IsInfAttrs : ir::AttrsOf<IsInfAttrs> {
  int64_t detect_negative = 1, detect_positive = 1;
  void visit(ir::AttrVisitor& v) override {
    v("detect_negative", detect_negative);
    v("detect_positive", detect_positive);
  }
};

Status infer(InferContext& c) {
  ir::Type output = c.input(0);
  output.dtype = DType::kBool;
  c.set_output(0, std::move(output));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<IsInfAttrs>();
  const auto test = [negative = attrs.detect_negative != 0, positive = attrs.detect_positive != 0](auto x) {
    return std::isinf(x) && (x > 0 ? positive : negative);
  };
  const auto apply = [&](auto tag) -> Status {
    map_unary<typename decltype(tag)::type, bool>(c.input(0), c.output(0), test);
    return {};
  };
  switch (c.input(0).dtype()) {
    case DType::kFloat8E4M3FN:
      return apply(TypeTag<Float8E4M3FN>{});
    case DType::kFloat8E4M3FNUZ:
      return apply(TypeTag<Float8E4M3FNUZ>{});
    case DType::kFloat8E5M2:
      return apply(TypeTag<Float8E5M2>{});
    case DType::kFloat8E5M2FNUZ:
      return apply(TypeTag<Float8E5M2FNUZ>{});
    default:
      return dispatch_floats(c.input(0).dtype(), "IsInf", apply);
  }
}

}  // namespace

CAMEO_DEFINE_OP(IsInf) = {
    .name = "IsInf",
    .min_version = 10,
    .input_types = {kFloatTypes | kFloat8Types},
    .make_attrs = &ir::make_attrs<IsInfAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
