// IsNaN (ai.onnx 9, 13, 20): whether x is NaN. Version 20 added the 8-bit floats.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  ir::Type output = c.input(0);
  output.dtype = DType::kBool;
  c.set_output(0, std::move(output));
  return {};
}

Status reference(KernelContext& c) {
  const auto test = [](auto x) { return std::isnan(x); };
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
      return dispatch_floats(c.input(0).dtype(), "IsNaN", apply);
  }
}

}  // namespace

CAMEO_DEFINE_OP(IsNaN) = {
    .name = "IsNaN",
    .min_version = 9,
    .input_types = {kFloatTypes | kFloat8Types},
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
