// Div (ai.onnx 1, 6, 7, 13, 14): quotient. Integers are divided towards zero; a zero divisor gives 0 and the least
// integer divided by -1 stays as it is, as in NumPy. Before version 7 the second operand is broadcast only on demand
// (attributes broadcast and axis).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status infer(InferContext& c) {
  return infer_arithmetic(c, [](const ir::Dim& a, const ir::Dim& b) {
    if (a.is_const() && b.is_const() && !b.is(0) && !b.is(-1)) return ir::Dim(a.value() / b.value());
    return a.is_non_negative() && b.is_non_negative() ? floor_div(a, b) : ir::Dim::unknown();
  });
}

Status reference(KernelContext& c) {
  return combine_numbers(c, []<class X>(X a, X b) -> X {
    if constexpr (std::is_integral_v<X>) {
      if (b == 0) return 0;
      if (std::is_signed_v<X> && b == static_cast<X>(-1)) return wrapping(a, a, [](auto x, auto) { return -x; });
    }
    return a / b;
  });
}

}  // namespace

CAMEO_DEFINE_OP(Div) = {
    .name = "Div",
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<BinaryAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
