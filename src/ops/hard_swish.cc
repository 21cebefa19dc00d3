// HardSwish (ai.onnx 14, 22): x * max(0, min(1, x / 6 + 1/2)).
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, []<class X>(X x) {
    const X gate = x / 6 + X{0.5};
    return x * (gate < 0 ? X{0} : gate > 1 ? X{1} : gate);
  });
}

}  // namespace

CAMEO_DEFINE_OP(HardSwish) = {
    .name = "HardSwish",
    .min_version = 14,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
