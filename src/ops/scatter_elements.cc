// ScatterElements (ai.onnx 11, 13, 16, 18): y is the data with y[.., indices[i..], ..] combined with updates[i..], where the
// index replaces the position along `axis`. Reductions: none, from version 16 add and mul, from 18 max and min.
#include "ops/scatter_update.h"

namespace cameo::ops {
namespace {

struct ScatterElementsAttrs : ir::AttrsOf<ScatterElementsAttrs> {
  int64_t axis = 0;
  std::string reduction = "none";
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("reduction", reduction);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ScatterElementsAttrs>();
  CAMEO_TRY(check_reduction(attrs.reduction, c.version()));
  return infer_scatter_elements(c, attrs.axis);
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<ScatterElementsAttrs>();
  return scatter_elements(c, attrs.axis, attrs.reduction);
}

}  // namespace

CAMEO_DEFINE_OP(ScatterElements) = {
    .name = "ScatterElements",
    .min_version = 11,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kAllTypes, kIndexTypes, kAllTypes},
    .make_attrs = &ir::make_attrs<ScatterElementsAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
