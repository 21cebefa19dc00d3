// Softmax (ai.onnx 1, 11, 13): y = exp(x - max(x)) / sum(exp(x - max(x))) along an axis.
// Before version 13 the input is seen as a matrix: extents from `axis` on (default 1) are one row.
// As in NumPy, 16-bit exponentials and their sum are rounded to the element type; the sum is added up in float.
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
      for (int64_t k = 0; k < length; ++k) {
        to[k * step] = static_cast<T>(std::exp(static_cast<C>(from[k * step]) - largest));
        sum += static_cast<C>(to[k * step]);
      }
      // The sum of very many 16-bit numbers may lie beyond the type, though every quotient is in it.
      if (const C rounded = static_cast<C>(static_cast<T>(sum)); !std::isinf(rounded)) sum = rounded;
      for (int64_t k = 0; k < length; ++k) to[k * step] = static_cast<T>(static_cast<C>(to[k * step]) / sum);
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
