// What Softmax, LogSoftmax and Hardmax share: the axis and the rows along it.
#pragma once

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

struct SoftmaxAttrs : ir::AttrsOf<SoftmaxAttrs> {
  std::optional<int64_t> axis;  // default -1; before version 13 it is 1
  void visit(ir::AttrVisitor& v) override { v("axis", axis); }
};

inline Status infer_softmax(InferContext& c) {
  const auto& axis = c.attrs<SoftmaxAttrs>().axis;
  // Before version 13 a scalar or an axis equal to the rank is allowed: each row then has one element.
  if (c.shape(0) && c.version() >= 13) CAMEO_TRY(normalize_axis(axis.value_or(-1), c.shape(0)->size()));
  c.set_output(0, c.input(0));
  return {};
}

// fn(from, to, length, step) for every row: element k stands at k * step. Before version 13 the input is seen as a
// matrix: extents from `axis` on are one row.
template <class T, class Fn>
Status for_each_row(KernelContext& c, Fn fn) {
  const Tensor& x = c.input(0);
  const Tensor& y = c.output(0);
  const bool matrix = c.version() < 13;
  const auto rank = static_cast<int64_t>(x.rank());
  int64_t axis = c.attrs<SoftmaxAttrs>().axis.value_or(matrix ? 1 : -1);
  if (axis < 0) axis += rank;
  if (matrix && rank == 0) axis = 0;
  if (axis < 0 || axis > rank) return error(ErrorCode::kInvalidModel, "axis is {}, but the input has rank {}", axis, rank);
  int64_t outer = 1, length = 1, inner = 1;
  for (int64_t i = 0; i < rank; ++i) (i < axis ? outer : matrix || i == axis ? length : inner) *= x.dim(i);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      const int64_t at = o * length * inner + i;
      fn(x.data<T>() + at, y.data<T>() + at, length, inner);
    }
  return {};
}

}  // namespace cameo::ops
