// ReduceL2 (ai.onnx 1, 11, 13, 18): the root of the sum of x * x over axes; 0 over an empty set. Integers are cut.
// The axes are an attribute before version 18, then input 1.
#include <cmath>

#include "ops/reduce.h"

namespace cameo::ops {
namespace {

template <class T>
struct L2 {
  sum_t<T> start() const { return 0; }
  template <class X>
  sum_t<T> step(sum_t<T> sum, X x) const {
    const auto s = static_cast<sum_t<T>>(x);
    return sum + s * s;
  }
  sum_t<T> merge(sum_t<T> a, sum_t<T> b) const { return a + b; }
  auto finish(sum_t<T> sum, int64_t) const { return from_real<T>(std::sqrt(static_cast<double>(sum))); }
};

Status reference(KernelContext& c) {
  return reduce_numbers(c, [](auto tag) { return L2<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceL2) = {
    .name = "ReduceL2",
    .max_inputs = 2,
    .input_types = {kNumericTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
