// Squeeze (ai.onnx 1, 11, 13, 21, 23, 24, 25): removes extents of 1, those that axes names or all. The axes are an
// attribute before version 13 and an input from it on.
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct SqueezeAttrs : ir::AttrsOf<SqueezeAttrs> {
  std::optional<std::vector<int64_t>> axes;
  void visit(ir::AttrVisitor& v) override { v("axes", axes); }
};

Status infer(InferContext& c) {
  const bool input = c.version() >= 13;
  const bool named = input ? c.has_input(1) : c.attrs<SqueezeAttrs>().axes.has_value();
  const auto list = input ? c.ints(1) : c.attrs<SqueezeAttrs>().axes;
  if (!c.shape(0) || (named && !list) || (!named && !ir::is_static(*c.shape(0)))) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  const ir::Shape& in = *c.shape(0);
  std::vector<char> removed(in.size(), 0);
  if (named) {
    for (int64_t a : *list) {
      CAMEO_ASSIGN(const size_t axis, normalize_axis(a, in.size(), "an entry of axes"));
      if (in[axis].is_const() && !in[axis].is(1))
        return error(ErrorCode::kInvalidInput, "axis {} of shape {} cannot be squeezed: its extent is not 1", a, ir::to_string(in));
      removed[axis] = 1;
    }
  } else {
    for (size_t i = 0; i < in.size(); ++i) removed[i] = in[i].is(1);
  }
  ir::Shape out;
  for (size_t i = 0; i < in.size(); ++i)
    if (!removed[i]) out.push_back(in[i]);
  c.set_output(0, c.dtype(0), std::move(out));
  if (auto values = c.values(0)) c.set_values(0, std::move(*values));
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Squeeze) = {
    .name = "Squeeze",
    .max_inputs = 2,
    .input_types = {kAllTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<SqueezeAttrs>,
    .infer = &infer,
    .reference = &copy_input,
    .flags = kView,
};

}  // namespace cameo::ops
