// CastLike (ai.onnx 15, 19, 21, 23, 24, 25): the elements of input 0 in the type of input 1; see Cast.
#include "ops/cast.h"

#include "base/error.h"

namespace cameo::ops {
namespace {

struct CastLikeAttrs : ir::AttrsOf<CastLikeAttrs> {
  int64_t saturate = 1;
  std::string round_mode = "up";
  void visit(ir::AttrVisitor& v) override {
    v("saturate", saturate);
    v("round_mode", round_mode);
  }
};

Status infer(InferContext& c) {
  CAMEO_TRY(parse_rounding(c.attrs<CastLikeAttrs>().round_mode));
  ir::Type output = c.input(0);
  output.kind = ir::Type::Kind::kTensor;
  output.dtype = c.dtype(1);
  c.set_output(0, std::move(output));
  const bool integer = c.dtype(1) == DType::kInt64 || c.dtype(1) == DType::kInt32;
  if (auto values = c.values(0); values && integer) c.set_values(0, std::move(*values));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<CastLikeAttrs>();
  CAMEO_ASSIGN(const E8M0Rounding rounding, parse_rounding(attrs.round_mode));
  return cast_tensor(c.input(0), c.output(0), {.saturate = attrs.saturate != 0, .rounding = rounding});
}

}  // namespace

CAMEO_DEFINE_OP(CastLike) = {
    .name = "CastLike",
    .min_version = 15,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kCastTypes},
    .make_attrs = &ir::make_attrs<CastLikeAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
