// ReduceLogSumExp (ai.onnx 1, 11, 13, 18, 28): log(sum(exp(x))) over axes, computed relative to the largest element so that nothing
// overflows; minus infinity over an empty set. Integers are cut; version 28 dropped them.
// The axes are an attribute before version 18, then input 1.
#include <cmath>
#include <limits>
#include <utility>

#include "ops/reduce.h"

namespace cameo::ops {
namespace {

// The largest element so far, and the sum of exp(x - largest).
struct Scaled {
  double largest, sum;
};

template <class T>
struct LogSumExp {
  Scaled start() const { return {-std::numeric_limits<double>::infinity(), 0}; }
  template <class X>
  Scaled step(Scaled acc, X x) const {
    return merge(acc, {static_cast<double>(x), 1});
  }
  Scaled merge(Scaled a, Scaled b) const {
    if (b.largest > a.largest || b.largest != b.largest) std::swap(a, b);
    // Equal infinities would give infinity - infinity.
    const double scale = a.largest == b.largest ? 1 : std::exp(b.largest - a.largest);
    return {a.largest, a.sum + b.sum * scale};
  }
  auto finish(Scaled acc, int64_t) const { return from_real<T>(acc.largest + std::log(acc.sum)); }
};

Status reference(KernelContext& c) {
  return reduce_numbers(c, [](auto tag) { return LogSumExp<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceLogSumExp) = {
    .name = "ReduceLogSumExp",
    .max_inputs = 2,
    .input_types = {kNumericTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
