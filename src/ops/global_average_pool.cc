// GlobalAveragePool (ai.onnx 1, 22): the mean of each channel. Version 22 adds bfloat16.
#include "ops/global_pool.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return global_pool(c, "GlobalAveragePool", []<class T>(const T* x, int64_t n) {
    using C = compute_t<T>;
    return sum_of<C>(x, n) / static_cast<C>(n);
  });
}

}  // namespace

CAMEO_DEFINE_OP(GlobalAveragePool) = {
    .name = "GlobalAveragePool",
    .input_types = {kFloatTypes},
    .infer = &infer_global_pool,
    .reference = &reference,
};

}  // namespace cameo::ops
