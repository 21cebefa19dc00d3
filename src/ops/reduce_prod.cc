// ReduceProd (ai.onnx 1, 11, 13, 18): the product over axes; 1 over an empty set. Integers wrap around.
// The axes are an attribute before version 18, then input 1.
#include "ops/reduce.h"

namespace cameo::ops {
namespace {

template <class T>
struct Prod {
  sum_t<T> start() const { return 1; }
  template <class X>
  sum_t<T> step(sum_t<T> product, X x) const {
    return product * static_cast<sum_t<T>>(x);
  }
  sum_t<T> merge(sum_t<T> a, sum_t<T> b) const { return a * b; }
  sum_t<T> finish(sum_t<T> product, int64_t) const { return product; }
};

Status reference(KernelContext& c) {
  return reduce_numbers(c, [](auto tag) { return Prod<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceProd) = {
    .name = "ReduceProd",
    .max_inputs = 2,
    .input_types = {kNumericTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
