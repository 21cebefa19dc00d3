// Softmax (ai.onnx 1, 11, 13): y = exp(x - max(x)) / sum(exp(x - max(x))) along an axis.
// Before version 13 the input is seen as a matrix: extents from `axis` on (default 1) are one row.
// The sums are kept in float for the 16-bit types, and in the type itself for float and double.
#include <cmath>
#include <limits>

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {
namespace {

struct SoftmaxAttrs : ir::AttrsOf<SoftmaxAttrs> {
  std::optional<int64_t> axis;
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

Status infer(InferContext& c) {
  const auto& axis = c.attrs<SoftmaxAttrs>().axis;
  // Before version 13 a scalar or an axis equal to the rank is allowed: each row then has one element.
  if (c.shape(0) && c.version() >= 13) CAMEO_TRY(normalize_axis(axis.value_or(-1), c.shape(0)->size()));
  c.set_output(0, c.input(0));
  return {};
}

Status reference(KernelContext& c) {
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  const auto& attribute = c.attrs<SoftmaxAttrs>().axis;
  const bool matrix = c.version() < 13;
  const auto rank = static_cast<int64_t>(x.rank());
  int64_t axis = attribute.value_or(matrix ? 1 : -1);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) return error(ErrorCode::kInvalidModel, "axis is {}, but the input has rank {}", axis, rank);
  int64_t outer = 1, length = 1, inner = 1;
  for (int64_t i = 0; i < rank; ++i) (i < axis ? outer : matrix || i == axis ? length : inner) *= x.dim(i);
  return dispatch_floats(x.dtype(), "Softmax", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const T* from = x.data<T>() + o * length * inner + i;
        T* to = y.data<T>() + o * length * inner + i;
        C largest = -std::numeric_limits<C>::infinity();
        for (int64_t k = 0; k < length; ++k) largest = std::max(largest, static_cast<C>(from[k * inner]));
        C sum = 0;
        for (int64_t k = 0; k < length; ++k) sum += std::exp(static_cast<C>(from[k * inner]) - largest);
        for (int64_t k = 0; k < length; ++k) to[k * inner] = static_cast<T>(std::exp(static_cast<C>(from[k * inner]) - largest) / sum);
      }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Softmax) = {
    .name = "Softmax",
    .input_types = {kFloatTypes},
    .make_attrs = &ir::make_attrs<SoftmaxAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
