// ReduceLogSum (ai.onnx 1, 11, 13, 18, 28): the logarithm of the sum over axes; minus infinity over an empty set. Integers are cut;
// version 28 dropped them.
// The axes are an attribute before version 18, then input 1.
#include <cmath>

#include "ops/reduce.h"

namespace cameo::ops {
namespace {

template <class T>
struct LogSum {
  sum_t<T> start() const { return 0; }
  template <class X>
  sum_t<T> step(sum_t<T> sum, X x) const {
    return sum + static_cast<sum_t<T>>(x);
  }
  sum_t<T> merge(sum_t<T> a, sum_t<T> b) const { return a + b; }
  auto finish(sum_t<T> sum, int64_t) const {
    if constexpr (std::is_integral_v<T> && std::is_signed_v<T>)
      return from_real<T>(std::log(static_cast<double>(static_cast<int64_t>(sum))));
    else
      return from_real<T>(std::log(static_cast<double>(sum)));
  }
};

Status reference(KernelContext& c) {
  return reduce_numbers(c, [](auto tag) { return LogSum<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceLogSum) = {
    .name = "ReduceLogSum",
    .max_inputs = 2,
    .input_types = {kNumericTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
