// ReduceMin (ai.onnx 1, 11, 12, 13, 18, 20): the smallest element over axes; NaN where there is one. Over an empty set
// infinity, or the largest value of an integer type. Version 20 added bool.
// The axes are an attribute before version 18, then input 1.
#include <limits>

#include "ops/reduce.h"

namespace cameo::ops {
namespace {

template <class T>
struct Min {
  using C = compute_t<T>;
  C start() const {
    using Limits = std::numeric_limits<C>;
    return Limits::has_infinity ? Limits::infinity() : Limits::max();
  }
  C step(C best, C x) const { return x < best || x != x ? x : best; }
  C merge(C a, C b) const { return step(a, b); }
  C finish(C best, int64_t) const { return best; }
};

Status reference(KernelContext& c) {
  if (c.input(0).dtype() == DType::kBool) {
    CAMEO_ASSIGN(const ReducePlan plan, plan_reduce(c));
    run_reduce<bool>(c, plan, c.input(0), c.output(0), Min<bool>{});
    return {};
  }
  return reduce_numbers(c, [](auto tag) { return Min<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceMin) = {
    .name = "ReduceMin",
    .max_inputs = 2,
    .input_types = {kNumericTypes | kBoolType, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
