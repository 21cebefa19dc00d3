// Softmax (ai.onnx 1, 11, 13): y = exp(x - max(x)) / sum(exp(x - max(x))) along an axis.
// Before version 13 the input is seen as a matrix: extents from `axis` on (default 1) are one row.
// The sums are kept in float for the 16-bit types, and in the type itself for float and double.
#include "ops/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cameo::ops {
namespace {

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(0).dtype(), "Softmax", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    return for_each_row<T>(c, [](const T* from, T* to, int64_t length, int64_t step) {
      C largest = -std::numeric_limits<C>::infinity();
      for (int64_t k = 0; k < length; ++k) largest = std::max(largest, static_cast<C>(from[k * step]));
      C sum = 0;
      for (int64_t k = 0; k < length; ++k) sum += std::exp(static_cast<C>(from[k * step]) - largest);
      for (int64_t k = 0; k < length; ++k) to[k * step] = static_cast<T>(std::exp(static_cast<C>(from[k * step]) - largest) / sum);
    });
  });
}

}  // namespace

CAMEO_DEFINE_OP(Softmax) = {
    .name = "Softmax",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<SoftmaxAttrs>,
    .infer = &infer_softmax,
    .reference = &reference,
};

}  // namespace cameo::ops
