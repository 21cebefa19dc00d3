// Loops for operators that work element by element, with broadcasting.
#pragma once

#include <type_traits>

#include "ops/dispatch.h"
#include "ops/shapes.h"

namespace cameo::ops {

// Attributes of operators that have none besides what versions before 6 declared and nobody reads.
struct UnaryAttrs : ir::AttrsOf<UnaryAttrs> {
  std::optional<std::vector<int64_t>> consumed_inputs;
  void visit(ir::AttrVisitor& v) override { v("consumed_inputs", consumed_inputs); }
};

// One slope, limit or scale, besides what versions before 6 declared.
struct AlphaAttrs : ir::AttrsOf<AlphaAttrs> {
  std::optional<float> alpha;
  std::optional<std::vector<int64_t>> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("alpha", alpha);
    v("consumed_inputs", consumed_inputs);
  }
};

// Before version 7 operand 1 is broadcast only on demand, and to the extents of operand 0 from `axis` on.
struct BinaryAttrs : ir::AttrsOf<BinaryAttrs> {
  std::optional<int64_t> axis;
  int64_t broadcast = 0;
  std::optional<std::vector<int64_t>> consumed_inputs;
  void visit(ir::AttrVisitor& v) override {
    v("axis", axis);
    v("broadcast", broadcast);
    v("consumed_inputs", consumed_inputs);
  }
};

// infer() for operators of two operands with BinaryAttrs, of every version; the output has the operands' type.
Status infer_binary(InferContext& context);
// The same with bool output.
Status infer_comparison(InferContext& context);
// The same for arithmetic on shapes: the elements of the output are op(a, b) where those of both operands are known.
Status infer_arithmetic(InferContext& context, ir::Dim (*op)(const ir::Dim& a, const ir::Dim& b));
// infer() for Min and Max: as infer_arithmetic, over all inputs.
Status infer_variadic(InferContext& context, ir::Dim (*op)(const ir::Dim& a, const ir::Dim& b));
// Operand 1, its extents made such that NumPy's broadcasting does what the version asks.
Tensor right_operand(const KernelContext& context);

// Integers modulo 2^bits, as NumPy has them: f sees them unsigned and not narrower than int, where nothing overflows.
template <class T, class F>
T wrapping(T a, T b, F f) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::common_type_t<std::make_unsigned_t<T>, unsigned>;
    return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
  } else {
    return f(a, b);
  }
}

// y[i] = f(x[i]) over tensors of T and R; f takes and gives the types that T and R are computed in.
template <class T, class R, class F>
void map_unary(const Tensor& x, Tensor& y, F f) {
  const T* from = x.data<T>();
  R* to = y.data<R>();
  const int64_t n = y.num_elements();
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(f(static_cast<compute_t<T>>(from[i])));
}

// z = f(a, b) with broadcasting, over tensors of A, B and R. Rows along the last extent are plain loops, so the
// compiler can vectorise them.
template <class A, class B, class R, class F>
void map_pairs(const Tensor& a, const Tensor& b, Tensor& z, F f) {
  const auto apply = [&f](const A& x, const B& y) { return static_cast<R>(f(static_cast<compute_t<A>>(x), static_cast<compute_t<B>>(y))); };
  const A* pa = a.data<A>();
  const B* pb = b.data<B>();
  R* pz = z.data<R>();
  const int64_t n = z.num_elements();
  if (n == 0) return;
  const auto row = [&](const A* x, int64_t step_x, const B* y, int64_t step_y, int64_t length) {
    if (step_x && step_y)
      for (int64_t i = 0; i < length; ++i) pz[i] = apply(x[i], y[i]);
    else if (step_x)
      for (int64_t i = 0; i < length; ++i) pz[i] = apply(x[i], *y);
    else if (step_y)
      for (int64_t i = 0; i < length; ++i) pz[i] = apply(*x, y[i]);
    else
      for (int64_t i = 0; i < length; ++i) pz[i] = apply(*x, *y);
    pz += length;
  };
  const bool all_a = a.num_elements() == n, all_b = b.num_elements() == n;
  if (all_a && a.dims() == b.dims()) return row(pa, 1, pb, 1, n);
  if (all_a && b.num_elements() == 1) return row(pa, 1, pb, 0, n);
  if (all_b && a.num_elements() == 1) return row(pa, 0, pb, 1, n);
  Dims rows = z.dims();
  const int64_t inner = rows.back();
  Dims sa = broadcast_strides(a.dims(), z.dims()), sb = broadcast_strides(b.dims(), z.dims());
  const int64_t step_a = sa.back(), step_b = sb.back();
  rows.erase(rows.rank() - 1);
  sa.erase(sa.rank() - 1);
  sb.erase(sb.rank() - 1);
  for_each_offset(rows, {&sa, &sb}, [&](const int64_t* offset) { row(pa + offset[0], step_a, pb + offset[1], step_b, inner); });
}

template <class T, class R, class F>
void map_binary(const Tensor& a, const Tensor& b, Tensor& z, F f) {
  map_pairs<T, T, R>(a, b, z, f);
}

// reference() of operators with one input and an output of its type: y = f(x), with f generic over the types computed in.
template <class F>
Status map_floats(KernelContext& c, F f) {
  return dispatch_floats(c.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_unary<T, T>(c.input(0), c.output(0), f);
    return {};
  });
}
template <class F>
Status map_numbers(KernelContext& c, F f) {
  return dispatch_numbers(c.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_unary<T, T>(c.input(0), c.output(0), f);
    return {};
  });
}

// reference() of operators with two operands of one type, which have BinaryAttrs if they are older than version 7: z = f(a, b).
template <class F>
Status combine_numbers(KernelContext& c, F f) {
  return dispatch_numbers(c.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_binary<T, T>(c.input(0), right_operand(c), c.output(0), f);
    return {};
  });
}
template <class F>
Status combine_integers(KernelContext& c, F f) {
  return dispatch_integers(c.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_binary<T, T>(c.input(0), right_operand(c), c.output(0), f);
    return {};
  });
}
// The same for comparisons, and for logic on bool.
template <class F>
Status compare_numbers(KernelContext& c, F f) {
  return dispatch_numbers(c.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    map_binary<T, bool>(c.input(0), right_operand(c), c.output(0), f);
    return {};
  });
}
template <class F>
Status combine_bools(KernelContext& c, F f) {
  map_binary<bool, bool>(c.input(0), right_operand(c), c.output(0), f);
  return {};
}

// reference() of operators with any number of inputs: y = f(f(x0, x1), x2) and so on, with broadcasting.
template <class F>
Status fold_inputs(KernelContext& c, F f) {
  return dispatch_numbers(c.input(0).dtype(), "the operator", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    Tensor& y = c.output(0);
    map_binary<T, T>(c.input(0), y, y, [](auto a, auto) { return a; });
    for (size_t i = 1; i < c.num_inputs(); ++i) map_binary<T, T>(y, c.input(i), y, f);
    return {};
  });
}
// reference() of Sum, and of Mean: the sum divided by the number of inputs.
Status add_inputs(KernelContext& context, bool mean);

}  // namespace cameo::ops
