// Mod (ai.onnx 10, 13, 28): the rest of a / b, with broadcasting. By default it has the sign of b (a - floor(a / b) * b); with
// fmod = 1 that of a, as C has it. Division of an integer by 0 gives 0.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

struct ModAttrs : ir::AttrsOf<ModAttrs> {
  int64_t fmod = 0;
  void visit(ir::AttrVisitor& v) override { v("fmod", fmod); }
};

// The rest with the sign of b.
template <class X>
X floor_rest(X a, X b) {
  if constexpr (std::is_integral_v<X>) {
    if (b == 0 || (std::is_signed_v<X> && b == static_cast<X>(-1))) return 0;
    const X rest = static_cast<X>(a % b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<X>(rest + b) : rest;
  } else {
    const X rest = std::fmod(a, b);
    if (rest == 0) return std::copysign(rest, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
  }
}

// The rest with the sign of a.
template <class X>
X cut_rest(X a, X b) {
  if constexpr (std::is_integral_v<X>)
    return b == 0 || (std::is_signed_v<X> && b == static_cast<X>(-1)) ? X{0} : static_cast<X>(a % b);
  else
    return std::fmod(a, b);
}

Status reference(KernelContext& c) {
  if (c.attrs<ModAttrs>().fmod) return combine_numbers(c, [](auto a, auto b) { return cut_rest(a, b); });
  return combine_numbers(c, [](auto a, auto b) { return floor_rest(a, b); });
}

}  // namespace

CAMEO_DEFINE_OP(Mod) = {
    .name = "Mod",
    .min_version = 10,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<ModAttrs>,
    .infer = &infer_broadcast,
    .reference = &reference,
};

}  // namespace cameo::ops
