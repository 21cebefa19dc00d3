// What the Reduce operators share: axes as attribute or as input, extents of the output, loops.
// A reducer is a struct with
//   Acc start()                  the value of an empty set
//   Acc step(Acc, x)             takes in an element, as the type it is computed in
//   Acc merge(Acc, Acc)          joins two partial results
//   y finish(Acc, int64_t n)     the result from that of all n elements, rounded to the element type by the caller
#pragma once

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

struct ReduceAttrs : ir::AttrsOf<ReduceAttrs> {
  std::optional<std::vector<int64_t>> axes;  // before version 18 (ReduceSum: 13); then it is input 1
  int64_t keepdims = 1;
  int64_t noop_with_empty_axes = 0;
  void visit(ir::AttrVisitor& v) override {
    v("axes", axes);
    v("keepdims", keepdims);
    v("noop_with_empty_axes", noop_with_empty_axes);
  }
};

// infer() of every Reduce operator; the output has the input's type.
Status infer_reduce(InferContext& context);

// The input seen with neighbouring extents merged that are all kept or all reduced.
struct ReducePlan {
  Dims kept, kept_strides;        // outermost first; without the run where that is kept
  Dims reduced, reduced_strides;  // without the run where that is reduced
  int64_t run = 1;                // the innermost extent, contiguous
  bool run_reduced = false;
  int64_t count = 1;  // elements that go into one of the output
};
Result<ReducePlan> plan_reduce(const KernelContext& context);
ReducePlan plan_reduce(const Dims& dims, std::span<const bool> reduced);

// Sums are kept in double for all floats, and modulo 2^64 for integers.
template <class T>
using sum_t = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;

template <class T, class Reducer>
void run_reduce(KernelContext& c, const ReducePlan& plan, const Tensor& x, Tensor& y, Reducer reducer) {
  using C = compute_t<T>;
  using Acc = decltype(reducer.start());
  const T* from = x.data<T>();
  T* to = y.data<T>();
  if (plan.run_reduced) {
    for_each_offset(plan.kept, {&plan.kept_strides}, [&](const int64_t* kept) {
      // Four partial results hide the latency of the additions; their order is fixed.
      Acc part[4] = {reducer.start(), reducer.start(), reducer.start(), reducer.start()};
      for_each_offset(plan.reduced, {&plan.reduced_strides}, [&](const int64_t* offset) {
        const T* row = from + kept[0] + offset[0];
        int64_t i = 0;
        for (; i + 4 <= plan.run; i += 4)
          for (int64_t k = 0; k < 4; ++k) part[k] = reducer.step(part[k], static_cast<C>(row[i + k]));
        for (; i < plan.run; ++i) part[0] = reducer.step(part[0], static_cast<C>(row[i]));
      });
      const Acc all = reducer.merge(reducer.merge(part[0], part[1]), reducer.merge(part[2], part[3]));
      *to++ = static_cast<T>(reducer.finish(all, plan.count));
    });
    return;
  }
  const auto row = c.scratch<Acc>(plan.run);
  for_each_offset(plan.kept, {&plan.kept_strides}, [&](const int64_t* kept) {
    for (Acc& acc : row) acc = reducer.start();
    for_each_offset(plan.reduced, {&plan.reduced_strides}, [&](const int64_t* offset) {
      const T* elements = from + kept[0] + offset[0];
      for (int64_t i = 0; i < plan.run; ++i) row[i] = reducer.step(row[i], static_cast<C>(elements[i]));
    });
    for (int64_t i = 0; i < plan.run; ++i) *to++ = static_cast<T>(reducer.finish(row[i], plan.count));
  });
}

// The result of a reduction computed in double, for elements of T: as it is, or cut to an integer.
template <class T>
auto from_real(double x) {
  if constexpr (std::is_integral_v<T>)
    return to_integer<T>(x);
  else
    return x;
}

// reference() for numbers; make(tag) gives the reducer for elements of a type.
template <class Make>
Status reduce_numbers(KernelContext& c, Make make) {
  CAMEO_ASSIGN(const ReducePlan plan, plan_reduce(c));
  return dispatch_numbers(c.input(0).dtype(), "the reduction", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    run_reduce<T>(c, plan, c.input(0), c.output(0), make(tag));
    return {};
  });
}

}  // namespace cameo::ops
