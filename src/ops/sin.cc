// Sin (ai.onnx 7, 22): the sine.
#include <cmath>

#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return map_floats(c, [](auto x) { return std::sin(x); });
}

}  // namespace

CAMEO_DEFINE_OP(Sin) = {
    .name = "Sin",
    .min_version = 7,
    .input_types = {kFloatTypes},
    .infer = &infer_same_as_input,
    .reference = &reference,
};

}  // namespace cameo::ops
