// Abs (ai.onnx 1, 6, 13): |x|; the least integer of a type stays as it is.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_numbers(c, []<class X>(X x) -> X {
    if constexpr (std::is_unsigned_v<X>)
      return x;
    else if constexpr (std::is_integral_v<X>)
      return x < 0 ? wrapping(x, x, [](auto u, auto) { return -u; }) : x;
    else
      return std::abs(x);
  });
}

}  // namespace

CAMEO_DEFINE_OP(Abs) = {
    .name = "Abs",
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<UnaryAttrs>,
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
