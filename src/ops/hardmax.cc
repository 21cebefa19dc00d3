// Hardmax (ai.onnx 1, 11, 13): 1 at the first largest element along an axis, 0 elsewhere; NaN counts as largest.
// Before version 13 the input is seen as a matrix: extents from `axis` on (default 1) are one row.
#include "ops/softmax.h"

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "Hardmax", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    return for_each_row<T>(c, [](const T* from, T* to, int64_t length, int64_t step) {
      if (length == 0) return;
      int64_t best = 0;
      C largest = static_cast<C>(from[0]);
      for (int64_t k = 1; k < length; ++k) {
        const C x = static_cast<C>(from[k * step]);
        if (x > largest || (x != x && largest == largest)) {
          largest = x;
          best = k;
        }
      }
      for (int64_t k = 0; k < length; ++k) to[k * step] = static_cast<T>(k == best ? C{1} : C{0});
    });
  });
}

}  // namespace

CAMEO_DEFINE_OP(Hardmax) = {
    .name = "Hardmax",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<SoftmaxAttrs>,
    .infer = &infer_softmax,
    .reference = &reference,
};

}  // namespace cameo::ops
