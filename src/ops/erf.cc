// Erf (ai.onnx 9, 13): the error function. Version 9 also takes integers; the result is then cut to an integer.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_numbers(c, []<class X>(X x) -> X {
    if constexpr (std::is_integral_v<X>)
      return static_cast<X>(std::erf(static_cast<double>(x)));
    else
      return std::erf(x);
  });
}

}  // namespace

CAMEO_DEFINE_OP(Erf) = {
    .name = "Erf",
    .min_version = 9,
    .input_types = {kNumericTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
