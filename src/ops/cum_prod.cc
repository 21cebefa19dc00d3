// CumProd (ai.onnx 26): the running product along an axis, from the other end with `reverse`, without the element itself with
// `exclusive`. Integers wrap around.
#include "ops/cumulative.h"
#include "ops/pointwise.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return accumulate(c, 1, [](auto a, auto b) { return wrapping(a, b, [](auto x, auto y) { return x * y; }); });
}

}  // namespace

CAMEO_DEFINE_OP(CumProd) = {
    .name = "CumProd",
    .min_version = 26,
    .min_inputs = 2,
    .max_inputs = 2,
    .input_types = {kNumericTypes, kIndexTypes},
    .make_attrs = &ir::make_attrs<CumulativeAttrs>,
    .infer = &infer_cumulative,
    .reference = &reference,
};

}  // namespace cameo::ops
