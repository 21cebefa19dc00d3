// GlobalMaxPool (ai.onnx 1, 22): the largest element of each channel; NaN wins. Version 22 adds bfloat16.
#include <limits>

#include "ops/global_pool.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return global_pool(c, "GlobalMaxPool", []<class T>(const T* x, int64_t n) {
    using C = compute_t<T>;
    C best = -std::numeric_limits<C>::infinity();
    for (int64_t i = 0; i < n; ++i)
      if (const C v = static_cast<C>(x[i]); !(v <= best) && best == best) best = v;
    return best;
  });
}

}  // namespace

CAMEO_DEFINE_OP(GlobalMaxPool) = {
    .name = "GlobalMaxPool",
    .input_types = {kFloatTypes},
    .infer = &infer_global_pool,
    .reference = &reference,
};

}  // namespace cameo::ops
