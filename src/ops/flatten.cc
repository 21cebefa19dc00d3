// Flatten (ai.onnx 1, 9, 11, 13, 21, 23, 24, 25): a matrix whose rows run over the extents before `axis` and whose columns
// run over those from it on. The axis may equal the rank.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct FlattenAttrs : ir::AttrsOf<FlattenAttrs> {
  int64_t axis = 1;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

Status infer(InferContext& c) {
  ir::Shape out(2);
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    const auto rank = static_cast<int64_t>(in.size());
    const int64_t axis = c.attrs<FlattenAttrs>().axis;
    if (axis < -rank || axis > rank)
      return error(ErrorCode::kInvalidModel, "axis is {}, but for a tensor of rank {} it must be in {} to {}", axis, rank, -rank, rank);
    const auto split = in.begin() + (axis < 0 ? axis + rank : axis);
    out = {ir::num_elements(ir::Shape(in.begin(), split)), ir::num_elements(ir::Shape(split, in.end()))};
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Flatten) = {
    .name = "Flatten",
    .make_attrs = &ir::make_attrs<FlattenAttrs>,
    .infer = &infer,
    .reference = &copy_input,
    .flags = kView,
};

}  // namespace cameo::ops
