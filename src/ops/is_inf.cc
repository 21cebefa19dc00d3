// IsInf (ai.onnx 10, 20): whether x is infinite; each sign can be left out. Version 20 added the 8-bit floats.
#include <cmath>

#include "ops/float_predicate.h"

namespace cameo::ops {
namespace {

struct IsInfAttrs : ir::AttrsOf<IsInfAttrs> {
  int64_t detect_negative = 1, detect_positive = 1;
  void visit(ir::AttrVisitor& v) override {
    v("detect_negative", detect_negative);
    v("detect_positive", detect_positive);
  }
};

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<IsInfAttrs>();
  const auto test = [negative = attrs.detect_negative != 0, positive = attrs.detect_positive != 0](auto x) {
    return std::isinf(x) && (x > 0 ? positive : negative);
  };
  return float_predicate(c, "IsInf", test);
}

}  // namespace

CAMEO_DEFINE_OP(IsInf) = {
    .name = "IsInf",
    .min_version = 10,
    .input_types = {kFloatTypes | kFloat8Types},
    .make_attrs = &ir::make_attrs<IsInfAttrs>,
    .infer = &infer_float_predicate,
    .reference = &reference,
};

}  // namespace cameo::ops
