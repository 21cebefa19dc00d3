// GlobalLpPool (ai.onnx 2, 22): (sum |x|^p)^(1/p) of each channel. Version 22 adds bfloat16. Version 1, whose p is no
// integer, is not covered.
#include <cmath>

#include "ops/global_pool.h"

namespace cameo::ops {
namespace {

struct GlobalLpPoolAttrs : ir::AttrsOf<GlobalLpPoolAttrs> {
  int64_t p = 2;
  void visit(ir::AttrVisitor& v) override { v("p", p); }
};

Status infer(InferContext& c) {
  const int64_t p = c.attrs<GlobalLpPoolAttrs>().p;
  if (p < 1) return error(ErrorCode::kInvalidModel, "p is {}; it must be at least 1", p);
  return infer_global_pool(c);
}

Status reference(KernelContext& c) {
  return global_pool(c, "GlobalLpPool", [n = c.attrs<GlobalLpPoolAttrs>().p]<class T>(const T* x, int64_t size) {
    using C = compute_t<T>;
    const C p = static_cast<C>(n);
    if (n == 1) return sum_of<C>(x, size, [](C v) { return std::fabs(v); });
    if (n == 2) return std::sqrt(sum_of<C>(x, size, [](C v) { return v * v; }));
    return std::pow(sum_of<C>(x, size, [p](C v) { return std::pow(std::fabs(v), p); }), 1 / p);
  });
}

}  // namespace

CAMEO_DEFINE_OP(GlobalLpPool) = {
    .name = "GlobalLpPool",
    .min_version = 2,
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<GlobalLpPoolAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
