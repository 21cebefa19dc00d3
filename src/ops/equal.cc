// Equal (ai.onnx 1, 7, 11, 13, 19): a == b, as bool; NaN equals nothing. Version 19 added strings.
// Before version 7 the second operand is broadcast only on demand (attributes broadcast and axis).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

// For shape arithmetic: 1 or 0 where the extents are certainly equal or different, else unknown.
ir::Dim equal(const ir::Dim& a, const ir::Dim& b) {
  if (a == b) return 1;
  const bool differ = (a.is_const() && b.is_const()) || (a.is_non_negative() && b.is_const() && b.value() < 0) ||
                      (b.is_non_negative() && a.is_const() && a.value() < 0);
  return differ ? ir::Dim(0) : ir::Dim::unknown();
}

Status infer(InferContext& c) {
  CAMEO_TRY(infer_arithmetic(c, &equal));
  return infer_comparison(c);
}

Status reference(KernelContext& c) {
  const Tensor b = right_operand(c);
  const auto equals = [](const auto& x, const auto& y) { return x == y; };
  switch (c.input(0).dtype()) {
    case DType::kBool:
      map_binary<bool, bool>(c.input(0), b, c.output(0), equals);
      return {};
    case DType::kString:
      map_binary<std::string, bool>(c.input(0), b, c.output(0), equals);
      return {};
    default:
      return compare_numbers(c, equals);
  }
}

}  // namespace

CAMEO_DEFINE_OP(Equal) = {
    .name = "Equal",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes | kBoolType | kStringType},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
