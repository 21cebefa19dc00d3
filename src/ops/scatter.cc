// Scatter (ai.onnx 9, 11): the former name of ScatterElements, without reductions.
#include "ops/scatter_update.h"

namespace cameo::ops {
namespace {

struct ScatterAttrs : ir::AttrsOf<ScatterAttrs> {
  int64_t axis = 0;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

Status infer(InferContext& c) { return infer_scatter_elements(c, c.attrs<ScatterAttrs>().axis); }
Status reference(KernelContext& c) { return scatter_elements(c, c.attrs<ScatterAttrs>().axis, "none"); }

}  // namespace

CAMEO_DEFINE_OP(Scatter) = {
    .name = "Scatter",
    .min_version = 9,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kAllTypes, kIndexTypes, kAllTypes},
    .make_attrs = &ir::make_attrs<ScatterAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
