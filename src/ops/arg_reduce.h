// What ArgMax and ArgMin share.
#pragma once

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

struct ArgReduceAttrs : ir::AttrsOf<ArgReduceAttrs> {
  int64_t axis = 0, keepdims = 1, select_last_index = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("keepdims", keepdims);
    v("select_last_index", select_last_index);
  }
};

inline Status infer_arg_reduce(InferContext& c) {
  const auto& attrs = c.attrs<ArgReduceAttrs>();
  ir::Type output = ir::Type::tensor(DType::kInt64);
  if (c.shape(0)) {
    CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, c.shape(0)->size()));
    output.shape = *c.shape(0);
    if (attrs.keepdims)
      (*output.shape)[axis] = 1;
    else
      output.shape->erase(output.shape->begin() + static_cast<ptrdiff_t>(axis));
  }
  c.set_output(0, std::move(output));
  return {};
}

// The index of the element along the axis that no other is `better` than: the first such, or the last. NaN beats all.
template <class Better>
Status arg_reduce(KernelContext& c, Better better) {
  const auto& attrs = c.attrs<ArgReduceAttrs>();
  const Tensor& x = c.input(0);
  CAMEO_ASSIGN(const size_t axis, normalize_axis(attrs.axis, x.rank()));
  const int64_t length = x.dim(axis);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= x.dim(i);
  if (outer == 0 || inner == 0) return {};
  if (length == 0) return error(ErrorCode::kInvalidInput, "there is no best of no elements: axis {} of the input has extent 0", axis);
  int64_t* to = c.output(0).data<int64_t>();
  return dispatch_numbers(x.dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    // Whole rows at a time: `best` holds what was found so far for each of the inner elements.
    const auto best = c.scratch<C>(inner);
    for (int64_t o = 0; o < outer; ++o, to += inner) {
      const T* from = x.data<T>() + o * length * inner;
      for (int64_t i = 0; i < inner; ++i) {
        best[i] = static_cast<C>(from[i]);
        to[i] = 0;
      }
      for (int64_t k = 1; k < length; ++k)
        for (int64_t i = 0; i < inner; ++i) {
          const C value = static_cast<C>(from[k * inner + i]);
          const bool nan = value != value, held = best[i] != best[i];
          const bool wins = nan ? !held : !held && better(value, best[i]);
          const bool ties = attrs.select_last_index && (nan ? held : value == best[i]);
          if (wins || ties) {
            best[i] = value;
            to[i] = k;
          }
        }
    }
    return {};
  });
}

}  // namespace cameo::ops
