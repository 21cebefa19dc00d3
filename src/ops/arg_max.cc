// ArgMax (ai.onnx 1, 11, 12, 13): the index of the largest element along an axis; of several the first, or with
// select_last_index (version 12 on) the last.
#include "ops/arg_reduce.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return arg_reduce(c, [](auto a, auto b) { return a > b; });
}

}  // namespace

CAMEO_DEFINE_OP(ArgMax) = {
    .name = "ArgMax",
    .input_types = {kNumericTypes},
    .make_attrs = &ir::make_attrs<ArgReduceAttrs>,
    .infer = &infer_arg_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
