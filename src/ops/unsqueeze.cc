// Unsqueeze (ai.onnx 1, 11, 13, 21, 23, 24, 25): inserts extents of 1 so that they stand at the given axes of the output.
// The axes are an attribute before version 13 and an input from it on.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct UnsqueezeAttrs : ir::AttrsOf<UnsqueezeAttrs> {
  std::vector<int64_t> axes;
  void visit(ir::AttrVisitor& v) override { v("axes", axes); }
};

Status infer(InferContext& c) {
  const bool input = c.version() >= 13;
  if (input && !c.has_input(1)) return error(ErrorCode::kInvalidModel, "lacks its input 1, the axes");
  const auto axes = input ? c.ints(1) : std::optional(c.attrs<UnsqueezeAttrs>().axes);
  if (!c.shape(0)) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const ir::Shape& in = *c.shape(0);
  const auto count = axes ? static_cast<int64_t>(axes->size()) : list_length(c, 1).value_or(-1);
  if (count > static_cast<int64_t>(kMaxRank))
    return error(ErrorCode::kUnsupported, "there are {} axes; at most {} are supported", count, kMaxRank);
  if (!axes) {
    c.set_output(0, tensor_type(c.dtype(0), count < 0 ? std::nullopt : std::optional(ir::Shape(in.size() + static_cast<size_t>(count)))));
    return {};
  }
  ir::Shape out(in.size() + axes->size());
  CAMEO_ASSIGN(const auto inserted, normalize_axes(*axes, out.size()));
  for (size_t axis : inserted) out[axis] = 1;
  std::vector<char> is_new(out.size(), 0);
  for (size_t axis : inserted) is_new[axis] = 1;
  for (size_t i = 0, k = 0; i < out.size(); ++i)
    if (!is_new[i]) out[i] = in[k++];
  const size_t rank = out.size();
  c.set_output(0, c.dtype(0), std::move(out));
  if (auto values = c.values(0); values && rank <= 1) c.set_values(0, std::move(*values));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Unsqueeze) = {
    .name = "Unsqueeze",
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<UnsqueezeAttrs>,
    .infer = &infer,
    .reference = &copy_input,
    .flags = kView,
};

}  // namespace cameo::ops
