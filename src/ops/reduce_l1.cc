// ReduceL1 (ai.onnx 1, 11, 13, 18): the sum of |x| over axes; 0 over an empty set.
// The axes are an attribute before version 18, then input 1.
#include <cmath>

#include "ops/reduce.h"

namespace cameo::ops {
namespace {

template <class T>
struct L1 {
  sum_t<T> start() const { return 0; }
  template <class X>
  sum_t<T> step(sum_t<T> sum, X x) const {
    if constexpr (std::is_integral_v<X>)
      return x < 0 ? sum - static_cast<uint64_t>(x) : sum + static_cast<uint64_t>(x);
    else
      return sum + std::abs(static_cast<double>(x));
  }
  sum_t<T> merge(sum_t<T> a, sum_t<T> b) const { return a + b; }
  auto finish(sum_t<T> sum, int64_t) const { return sum; }
};

Status reference(KernelContext& c) {
  return reduce_numbers(c, [](auto tag) { return L1<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceL1) = {
    .name = "ReduceL1",
    .max_inputs = 2,
    .input_types = {kNumericTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
