// Cast (ai.onnx 6, 9, 13, 19, 21, 23, 24, 25, 28): the elements in the type `to`; how each pair of types converts stands
// in cast.h. saturate came with version 19, round_mode with 24. Version 1 named the type by a text and is not covered.
#include "ops/cast.h"

#include "base/error.h"

namespace cameo::ops {
namespace {

struct CastAttrs : ir::AttrsOf<CastAttrs> {
  int64_t to = 0;
  int64_t saturate = 1;
  std::string round_mode = "up";
  void visit(ir::AttrVisitor& v) override {
    v("to", to);
    v("saturate", saturate);
    v("round_mode", round_mode);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<CastAttrs>();
  if (!is_valid_dtype(attrs.to) || !kCastTypes.contains(static_cast<DType>(attrs.to)))
    return error(ErrorCode::kInvalidModel, "to is {}, which is no element type that Cast gives", attrs.to);
  CAMEO_TRY(parse_rounding(attrs.round_mode));
  ir::Type output = c.input(0);
  output.kind = ir::Type::Kind::kTensor;
  output.dtype = static_cast<DType>(attrs.to);
  c.set_output(0, std::move(output));
  const bool integer = attrs.to == static_cast<int64_t>(DType::kInt64) || attrs.to == static_cast<int64_t>(DType::kInt32);
  if (auto values = c.values(0); values && integer) c.set_values(0, std::move(*values));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CastAttrs>();
  CAMEO_ASSIGN(const E8M0Rounding rounding, parse_rounding(attrs.round_mode));
  return cast_tensor(c.input(0), c.output(0), {.saturate = attrs.saturate != 0, .rounding = rounding});
}

}  // namespace

CAMEO_DEFINE_OP(Cast) = {
    .name = "Cast",
    .min_version = 6,
    .input_types = {kCastTypes},
    .make_attrs = &ir::make_attrs<CastAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
