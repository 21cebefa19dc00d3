// What CumSum and CumProd share.
#pragma once

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

struct CumulativeAttrs : ir::AttrsOf<CumulativeAttrs> {
  int64_t exclusive = 0, reverse = 0;
  void visit(ir::AttrVisitor& v) override {
    v("exclusive", exclusive);
    v("reverse", reverse);
  }
};

inline Status infer_cumulative(InferContext& c) {
  if (c.shape(1)) {
    const ir::Dim count = ir::num_elements(*c.shape(1));
    if (count.is_const() && !count.is(1))
      return error(ErrorCode::kInvalidModel, "axis has shape {}, but must be a scalar", ir::to_string(*c.shape(1)));
  }
  if (const auto axis = c.ints(1); axis && axis->size() == 1 && c.shape(0)) CAMEO_TRY(normalize_axis(axis->front(), c.shape(0)->size()));
  c.set_output(0, c.input(0));
  return {};
}

// y[k] = x[0] op … op x[k] along the axis that input 1 names, or without x[k] where `exclusive`; `start` stands for none.
// 16-bit floats are computed in float and rounded once an element.
template <class Combine>
Status accumulate(KernelContext& c, int start, Combine combine) {
  const auto& attrs = c.attrs<CumulativeAttrs>();
  const Tensor& x = c.input(0);
  const Tensor& named = c.input(1);
  const int64_t which = named.dtype() == DType::kInt32 ? *named.data<int32_t>() : *named.data<int64_t>();
  CAMEO_ASSIGN(const size_t axis, normalize_axis(which, x.rank()));
  const int64_t length = x.dim(axis);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= x.dim(i);
  if (x.num_elements() == 0) return {};
  return dispatch_numbers(x.dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const auto sums = c.scratch<C>(inner);
    for (int64_t o = 0; o < outer; ++o) {
      for (C& sum : sums) sum = static_cast<C>(start);
      for (int64_t k = 0; k < length; ++k) {
        const int64_t at = (o * length + (attrs.reverse ? length - 1 - k : k)) * inner;
        const T* from = x.data<T>() + at;
        T* to = c.output(0).template data<T>() + at;
        for (int64_t i = 0; i < inner; ++i) {
          const C next = combine(sums[i], static_cast<C>(from[i]));
          to[i] = static_cast<T>(attrs.exclusive ? sums[i] : next);
          sums[i] = next;
        }
      }
    }
    return {};
  });
}

}  // namespace cameo::ops
