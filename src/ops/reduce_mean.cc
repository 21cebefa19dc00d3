// ReduceMean (ai.onnx 1, 11, 13, 18): the mean over axes. Sums are kept in double; integers are divided towards zero.
// The axes are an attribute before version 18, then input 1.
#include "ops/reduce.h"

namespace cameo::ops {
namespace {

template <class T>
struct Mean {
  sum_t<T> start() const { return 0; }
  template <class X>
  sum_t<T> step(sum_t<T> sum, X x) const {
    return sum + static_cast<sum_t<T>>(x);
  }
  sum_t<T> merge(sum_t<T> a, sum_t<T> b) const { return a + b; }
  auto finish(sum_t<T> sum, int64_t n) const {
    if constexpr (!std::is_integral_v<T>)
      return sum / static_cast<double>(n);
    else if constexpr (std::is_signed_v<T>)
      return n == 0 ? 0 : static_cast<int64_t>(sum) / n;
    else
      return n == 0 ? 0 : sum / static_cast<uint64_t>(n);
  }
};

Status reference(KernelContext& c) {
  return reduce_numbers(c, [](auto tag) { return Mean<typename decltype(tag)::type>{}; });
}

}  // namespace

CAMEO_DEFINE_OP(ReduceMean) = {
    .name = "ReduceMean",
    .max_inputs = 2,
    .input_types = {kNumericTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<ReduceAttrs>,
    .infer = &infer_reduce,
    .reference = &reference,
};

}  // namespace cameo::ops
